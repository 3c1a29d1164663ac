/* Answer what comes through one System V queue on another one, until an empty message comes.

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

    if (argc != 3) {
        fprintf(stderr, "usage: %s QUESTIONS ANSWERS\n", argv[0]);
        return 2;
    }
    int questions = msgget(strtol(argv[1], NULL, 0), 0);
    int answers = msgget(strtol(argv[2], NULL, 0), 0);
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
