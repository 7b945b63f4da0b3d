/* What the text of a scalar means: private to the doc files. */
#ifndef TG_BASE_DOC_SCALAR_H
#define TG_BASE_DOC_SCALAR_H

#include "server/base/doc.h"

/* Sets type and value of a scalar node from its text, by the core schema of YAML 1.2 (section 10.3.2). A
 * quoted one is a string. */
void tg_doc_resolve(struct tg_doc_node *node);
/* Sets text and unset of a scalar node from raw, as struct tg_doc_options says. TG_ELIMIT when the result
 * exceeds max_bytes, TG_ENOMEM. */
enum tg_err tg_doc_substitute(struct tg_arena *arena, const struct tg_doc_options *options,
                              struct tg_doc_node *node) TG_MUST_CHECK;

#endif
