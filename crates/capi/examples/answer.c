/* Answers texts: answer MODEL_DIR TEXT [TEXT ...]
 *
 * cc -I include examples/answer.c -L TARGET/release -lefficientbert_c -o answer
 */
#include <stdio.h>
#include <stdlib.h>

#include "efficientbert.h"

static int fail(char *error) {
    fprintf(stderr, "error: %s\n", error);
    efficientbert_free_string(error);
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: %s MODEL_DIR TEXT [TEXT ...]\n", argv[0]);
        return 2;
    }
    const char *const *texts = (const char *const *)argv + 2;
    size_t count = (size_t)argc - 2;
    char *error = NULL;
    efficientbert_model *model = efficientbert_load(argv[1], 2, 1, NULL, &error);
    if (model == NULL) return fail(error);

    /* As JSON: an array for each text. */
    char *answers = efficientbert_answers(model, texts, NULL, count, NULL, &error);
    if (answers == NULL) return fail(error);
    printf("%s\n", answers);
    efficientbert_free_string(answers);

    /* As numbers: a row for each text. */
    size_t outputs = efficientbert_outputs(model, NULL, &error);
    if (outputs == 0) return fail(error);
    float *scores = calloc(count * outputs, sizeof *scores);
    if (scores == NULL) return 1;
    if (efficientbert_scores(model, texts, NULL, count, NULL, scores, count * outputs, &error) != 0) return fail(error);
    for (size_t text = 0; text < count; text++) {
        for (size_t label = 0; label < outputs; label++) printf("%.6f ", (double)scores[text * outputs + label]);
        printf("%s\n", texts[text]);
    }
    free(scores);
    efficientbert_free(model);
    return 0;
}
