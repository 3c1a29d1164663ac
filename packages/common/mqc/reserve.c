/* Memory set aside. */

#include "mqc.h"

#include "reserve.h"

/* Say whether what has just failed is worth another try: memory lacked, and there is more now. */
int
mqc_give_back(mqc_spare **spare)
{
    if (*spare == NULL || !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        return 0;
    }
    free(*spare);
    *spare = NULL;
    PyErr_Clear();
    return 1;
}
