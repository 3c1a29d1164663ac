/* Memory that is reserved for the result of a call; reserve.h says why. */

#include "mqc.h"

#include "reserve.h"

#define MQC_MOST_KEPT (1 << 20) /* bytes that a Queue keeps between calls */

/* Reserve at least this many bytes. Returns 0, or -1 without an exception, as the caller may not
 * hold the GIL; then the reserve is as it was. */
int
mqc_reserve_grow(mqc_reserve **reserve, size_t size)
{
    mqc_reserve *larger;

    if (*reserve != NULL && (*reserve)->size >= size) {
        return 0;
    }
    larger = malloc(sizeof(mqc_reserve) + size);
    if (larger == NULL) {
        return -1;
    }
    larger->size = size;
    free(*reserve);
    *reserve = larger;
    return 0;
}

/* Return a reserve for a message of up to longest bytes, or NULL with MemoryError. */
mqc_reserve *
mqc_reserve_take(mqc_kept_reserve *kept, size_t longest)
{
    mqc_reserve *reserve = mqc_reserve_swap(kept, NULL);

    if (mqc_reserve_grow(&reserve, longest + 4 * MQC_EXCEPTION_BYTES) < 0) {
        free(reserve);
        PyErr_NoMemory();
        return NULL;
    }
    return reserve;
}

/* Keep the reserve, which may be NULL, for the next call. */
void
mqc_reserve_keep(mqc_kept_reserve *kept, mqc_reserve *reserve)
{
    if (reserve != NULL && reserve->size > MQC_MOST_KEPT) {
        free(reserve);
        reserve = NULL;
    }
    reserve = mqc_reserve_swap(kept, reserve);
    if (reserve != NULL) { /* another thread has kept one meanwhile */
        free(reserve);
    }
}

void
mqc_reserve_free(mqc_reserve **reserve)
{
    free(*reserve);
    *reserve = NULL;
}

/* On MemoryError: free the reserve, clear the error, and return 1 to retry. */
int
mqc_reserve_retry(mqc_reserve **reserve)
{
    if (*reserve == NULL || !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        return 0;
    }
    mqc_reserve_free(reserve);
    PyErr_Clear();
    return 1;
}
