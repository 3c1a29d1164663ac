/* Answer what comes through one POSIX queue on another one, until an empty message comes.
   Both queues must exist already.

   cc -o peer_posix peer_posix.c -lrt
   ./peer_posix /questions /answers */

#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>

int
main(int argc, char **argv)
{
    struct mq_attr attributes;
    unsigned priority;
    ssize_t size;
    int number;

    if (argc != 3 || argv[1][0] != '/' || argv[2][0] != '/') {
        fprintf(stderr,
                "usage: %s QUESTIONS ANSWERS\n\n"
                "Answer what comes through one POSIX queue on another one, until an empty\n"
                "message comes. Both queues must exist already.\n\n"
                "Example: %s /questions /answers\n",
                argv[0], argv[0]);
        return 2;
    }
    mqd_t questions = mq_open(argv[1], O_RDONLY);
    mqd_t answers = mq_open(argv[2], O_WRONLY);
    if (questions == (mqd_t)-1 || answers == (mqd_t)-1 || mq_getattr(questions, &attributes) != 0) {
        perror("peer_posix");
        return 1;
    }
    char *message = malloc(attributes.mq_msgsize + 1); /* one more, to end it as C strings end */
    while ((size = mq_receive(questions, message, attributes.mq_msgsize, &priority)) > 0) {
        message[size] = '\0';
        if (sscanf(message, "{\"number\": %d}", &number) == 1) {
            size = snprintf(message, attributes.mq_msgsize, "{\"square\": %d}", number * number);
        }
        if (mq_send(answers, message, size, priority) != 0) {
            size = -1;
            break;
        }
    }
    if (size != 0) {
        perror("peer_posix");
    }
    free(message);
    return size != 0;
}
