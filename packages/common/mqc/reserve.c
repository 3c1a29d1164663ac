/* Memory that is reserved for the result of a call; reserve.h says why. */

#include "mqc.h"

#include "reserve.h"

/* Replace the reserve by a larger one. Returns as mqc_reserve_grow does. */
int
mqc_reserve_replace(mqc_reserve **reserve, size_t size)
{
    mqc_reserve *larger = malloc(sizeof(mqc_reserve) + size);

    if (larger == NULL) {
        return -1;
    }
    larger->size = size;
    free(*reserve);
    *reserve = larger;
    return 0;
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
