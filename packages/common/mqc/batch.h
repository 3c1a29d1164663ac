/* What put_many() and get_many() have in common. */

#ifndef MQC_BATCH_H
#define MQC_BATCH_H

#include "transfer.h"

#define MQC_STRETCH 256    /* messages of a batch between two looks at the clock and for close() */
#define MQC_SMALL_BATCH 16 /* the most messages of a batch that is tried under the GIL first */

/* Whether a batch takes so long that the GIL is released at once. For a small one that takes as
 * long as two of its messages. */
static inline int
mqc_is_large_batch(size_t count, size_t longest)
{
    return count > MQC_SMALL_BATCH || longest > MQC_SCRATCH;
}

#endif /* MQC_BATCH_H */
