/* Answer what comes through one System V queue on another one, until an empty message comes.
   Both queues must exist already. Each is named by its key, a number other than 0.

   cc -o peer_sysv peer_sysv.c
   ./peer_sysv 1001 1002 */

#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/msg.h>

int
main(int argc, char **argv)
{
    struct {
        long type;
        char text[8192 + 1]; /* one more, to end it as C strings end */
    } message;
    ssize_t size;
    int number;
    /* What is no number gives 0, and msgget would make a new queue of it. */
    key_t questions_key = argc == 3 ? strtol(argv[1], NULL, 0) : 0;
    key_t answers_key = argc == 3 ? strtol(argv[2], NULL, 0) : 0;

    if (questions_key == 0 || answers_key == 0) {
        fprintf(stderr,
                "usage: %s QUESTIONS ANSWERS\n\n"
                "Answer what comes through one System V queue on another one, until an empty\n"
                "message comes. Both queues must exist already. Each is named by its key, a\n"
                "number other than 0.\n\n"
                "Example: %s 1001 1002\n",
                argv[0], argv[0]);
        return 2;
    }
    int questions = msgget(questions_key, 0);
    int answers = msgget(answers_key, 0);
    if (questions == -1 || answers == -1) {
        perror("peer_sysv");
        return 1;
    }
    while ((size = msgrcv(questions, &message, sizeof(message.text) - 1, 0, 0)) > 0) {
        message.text[size] = '\0';
        if (sscanf(message.text, "{\"number\": %d}", &number) == 1) {
            size =
                snprintf(message.text, sizeof(message.text), "{\"square\": %d}", number * number);
        }
        if (msgsnd(answers, &message, size, 0) != 0) {
            size = -1;
            break;
        }
    }
    if (size != 0) {
        perror("peer_sysv");
    }
    return size != 0;
}
