/* The C interface of EfficientBERT in Rust: a model directory that answers texts.
 *
 *   char *error = NULL;
 *   efficientbert_model *model = efficientbert_load("model", 2, 1, "f32", &error);
 *   if (model == NULL) { fprintf(stderr, "%s\n", error); efficientbert_free_string(error); return 1; }
 *   const char *texts[] = {"a quiet film"};
 *   char *answers = efficientbert_answers(model, texts, NULL, 1, NULL, &error);
 *   ...
 *   efficientbert_free_string(answers);
 *   efficientbert_free(model);
 *
 * Link with libefficientbert_c.so, or with libefficientbert_c.a and -lpthread -ldl -lm.
 *
 * Texts are UTF-8 and end with a zero. A model may be used by any number of threads at the same time; only efficientbert_free needs it
 * alone. What a model answers to a text does not depend on other texts or threads.
 *
 * Errors: a function that can fail has a last parameter `error`. It may be NULL. Otherwise *error is set to NULL where the function
 * succeeds, and to a message where it fails; the message is yours, free it with efficientbert_free_string.
 *
 * In the child of a fork() a model of the parent must not be used: its threads are the parent's. Load it after the fork.
 */
#ifndef EFFICIENTBERT_H
#define EFFICIENTBERT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A loaded model. */
typedef struct efficientbert_model efficientbert_model;

/* The version of this library, such as "0.1.0". It is never freed. */
const char *efficientbert_version(void);

/* Loads the model directory `dir`: config.json, model.safetensors and the files of a tokenizer.
 *
 * threads:   threads of one computation; 0 counts as 1, the most is 1024.
 * sessions:  computations at the same time, each with so many threads; further calls wait. 0 counts as 1, the most is 1024.
 * precision: "f32", "bf16" or "int8"; NULL is "f32".
 *
 * The file of weights must not be changed in place while the model lives; it may be replaced.
 * Returns NULL where it fails. */
efficientbert_model *efficientbert_load(const char *dir, size_t threads, size_t sessions, const char *precision, char **error);

/* Frees a model that no other call uses any more; NULL is allowed. */
void efficientbert_free(efficientbert_model *model);

/* Frees a text that this library has given; NULL is allowed. */
void efficientbert_free_string(char *text);

/* What the model is, as a JSON object: "heads" (each with "task", "kind", "labels" and "outputs"), "hidden_size", "max_tokens",
 * "vocab_size", "precision", "threads", "sessions". Free it with efficientbert_free_string. Returns NULL where it fails. */
char *efficientbert_describe(const efficientbert_model *model, char **error);

/* How many numbers the head of `task` gives for a text: its labels, 1 for a number, the width of a vector. Returns 0 where it fails.
 *
 * task: NULL for the only head of the model, here and below. */
size_t efficientbert_outputs(const efficientbert_model *model, const char *task, char **error);

/* What the heads answer to `count` texts, as JSON: an array with an array for each text, which has an object for each head. The objects
 * are those of `efficientbert predict --json`. With a task its head alone answers, without one all heads do.
 *
 * pairs: NULL for single texts; else `count` texts, each of them the second of a pair, or NULL where there is none. A head of spans takes
 *        the question as text and the text that answers it as pair. A head that makes vectors answers a pair by its similarity.
 *
 * Free it with efficientbert_free_string. Returns NULL where it fails. */
char *efficientbert_answers(const efficientbert_model *model, const char *const *texts, const char *const *pairs, size_t count,
                            const char *task, char **error);

/* Writes the probability of each class or label, or the number of a regression in the units of its task, of `count` texts to `out`, row
 * after row: `count` times efficientbert_outputs numbers, for which there is room for `capacity`. Returns 0, or -1 where it fails. */
int efficientbert_scores(const efficientbert_model *model, const char *const *texts, const char *const *pairs, size_t count,
                         const char *task, float *out, size_t capacity, char **error);

/* As efficientbert_scores, what stands before softmax, sigmoid and scale. */
int efficientbert_logits(const efficientbert_model *model, const char *const *texts, const char *const *pairs, size_t count,
                         const char *task, float *out, size_t capacity, char **error);

/* Writes the vector of each text to `out`, row after row, as efficientbert_scores does. */
int efficientbert_vectors(const efficientbert_model *model, const char *const *texts, size_t count, const char *task, float *out,
                          size_t capacity, char **error);

/* The tokens of a text or a pair as the model reads it, special tokens included, cut to the longest that it takes. Writes their ids and
 * segments, each unless it is NULL, and returns their number, or -1 where it fails. pair: NULL for a single text. */
ptrdiff_t efficientbert_tokens(const efficientbert_model *model, const char *text, const char *pair, uint32_t *ids, uint8_t *segments,
                               size_t capacity, char **error);

#ifdef __cplusplus
}
#endif

#endif
