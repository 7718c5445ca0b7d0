/* What the example does not show: threads, pairs, tokens, and every way to be wrong. check MODEL_DIR */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "efficientbert.h"

#define CHECK(condition)                                                                \
    do {                                                                                \
        if (!(condition)) {                                                             \
            fprintf(stderr, "line %d: %s; error: %s\n", __LINE__, #condition, error ? error : "none"); \
            exit(1);                                                                    \
        }                                                                               \
    } while (0)

enum { THREADS = 16, ROUNDS = 10 };

static efficientbert_model *model;
static const char *const TEXTS[] = {"a quiet film", "film", "a a a a a a quiet quiet film"};
static float expected[6];

static void *ask(void *unused) {
    char *error = NULL;
    float scores[6];
    for (int round = 0; round < ROUNDS; round++) {
        CHECK(efficientbert_scores(model, TEXTS, NULL, 3, "films", scores, 6, &error) == 0);
        CHECK(memcmp(scores, expected, sizeof scores) == 0);
    }
    return unused;
}

static void refused(int is_refused, char **error, const char *said) {
    if (!is_refused || *error == NULL || strstr(*error, said) == NULL) {
        fprintf(stderr, "expected `%s`, found `%s`\n", said, *error ? *error : "none");
        exit(1);
    }
    efficientbert_free_string(*error);
    *error = NULL;
}

int main(int argc, char **argv) {
    char *error = NULL;
    if (argc != 2) return 2;
    refused(efficientbert_load("no/such/folder", 1, 1, NULL, &error) == NULL, &error, "no/such/folder");
    refused(efficientbert_load(NULL, 1, 1, NULL, &error) == NULL, &error, "`dir` is NULL");
    refused(efficientbert_load("\xff", 1, 1, NULL, &error) == NULL, &error, "UTF-8");
    refused(efficientbert_load(argv[1], 1, 1, "f64", &error) == NULL, &error, "f32, bf16, int8");
    refused(efficientbert_load(argv[1], 1025, 1, NULL, &error) == NULL, &error, "threads is 1025; allowed are 0 to 1024");
    refused(efficientbert_load(argv[1], 1, (size_t)-1, NULL, &error) == NULL, &error, "sessions is 18446744073709551615");
    model = efficientbert_load(argv[1], 1, 2, "f32", &error);
    CHECK(model != NULL && error == NULL);

    char *said = efficientbert_describe(model, &error);
    CHECK(said != NULL && strstr(said, "\"films\"") != NULL && strstr(said, "\"sessions\":2") != NULL);
    efficientbert_free_string(said);
    CHECK(efficientbert_outputs(model, NULL, &error) == 2);
    CHECK(strlen(efficientbert_version()) >= 5);

    CHECK(efficientbert_scores(model, TEXTS, NULL, 3, NULL, expected, 6, &error) == 0);
    CHECK(expected[0] + expected[1] > 0.999f && expected[0] + expected[1] < 1.001f);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, ask, NULL) == 0);
    for (int i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);

    /* A pair has other answers than its first text, and one of the pairs may be missing. */
    const char *const pairs[] = {"film", NULL, NULL};
    float paired[6];
    CHECK(efficientbert_scores(model, TEXTS, pairs, 3, NULL, paired, 6, &error) == 0);
    CHECK(memcmp(paired, expected, 2 * sizeof *paired) != 0);
    CHECK(memcmp(paired + 2, expected + 2, 4 * sizeof *paired) == 0);
    CHECK(efficientbert_scores(model, NULL, NULL, 0, NULL, NULL, 0, &error) == 0);

    uint32_t ids[8];
    uint8_t segments[8];
    CHECK(efficientbert_tokens(model, "a film", NULL, NULL, NULL, 0, &error) == 4);
    CHECK(efficientbert_tokens(model, "a film", "film", ids, segments, 8, &error) == 6);
    CHECK(ids[0] == 2 && ids[1] == 5 && ids[2] == 7 && ids[3] == 3 && segments[3] == 0 && segments[4] == 1);

    refused(efficientbert_tokens(model, "a film", NULL, ids, NULL, 3, &error) == -1, &error, "room for 3");
    refused(efficientbert_scores(model, TEXTS, NULL, 3, NULL, paired, 5, &error) == -1, &error, "6 are needed");
    refused(efficientbert_scores(model, TEXTS, NULL, 3, NULL, NULL, 6, &error) == -1, &error, "`out` is NULL");
    refused(efficientbert_scores(model, TEXTS, NULL, 3, "other", paired, 6, &error) == -1, &error, "films");
    refused(efficientbert_scores(NULL, TEXTS, NULL, 3, NULL, paired, 6, &error) == -1, &error, "`model` is NULL");
    refused(efficientbert_vectors(model, TEXTS, 3, NULL, paired, 6, &error) == -1, &error, "vectors are asked for");
    const char *const bad[] = {"fine", "\xc3("};
    refused(efficientbert_answers(model, bad, NULL, 2, NULL, &error) == NULL, &error, "texts[1]");
    /* Nobody has to ask for the message. */
    CHECK(efficientbert_scores(model, NULL, NULL, 3, NULL, paired, 6, NULL) == -1);

    efficientbert_free(model);
    efficientbert_free(NULL);
    efficientbert_free_string(NULL);
    return 0;
}
