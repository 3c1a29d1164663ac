/*
 * The floor: what the kernel itself charges for each work of the benchmark, in bare C.
 *
 *   floor WORK posix|sysv blocking|spinning NAME KEY COUNT SIZE PEOPLE WAIT
 *   floor remove NAME KEY
 *
 * prints one line of JSON: {"wall": s, "cpu": s}, seconds a message (a round trip, a wait).
 * "spinning" tries without blocking for up to 50 us, yielding in between, before it blocks:
 * what a program would do that cares for latency.  run.py compiles and runs this file.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    DEPTH = 10,
    MESSAGE_SIZE = 1024,
    SPIN_NS = 50000,
    WARM_UP = 4,
    MAX_PEOPLE = 64,
    TIME_LIMIT_S = 120
};

static struct {
    const char *work, *name;
    int posix, spinning;
    key_t key;
    long count;
    size_t size;
    int people;
    double wait;
} options;

/* ******************************** */
/* Small things                     */
/* ******************************** */

static void
fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static long long
nanoseconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static long long
wall_ns(void)
{
    return nanoseconds(CLOCK_MONOTONIC);
}

static long long
cpu_ns(pid_t pid)
{
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0)
        fail("clock_getcpuclockid");
    return nanoseconds(clock);
}

static void
print_result(double wall, double cpu)
{
    printf("{\"wall\": %.9g, \"cpu\": %.9g}\n", wall * 1e-9, cpu * 1e-9);
}

/* ******************************** */
/* One queue of either family       */
/* ******************************** */

struct queue {
    mqd_t mq;
    int id;
    size_t limit;
    struct message {
        long type;
        char text[];
    } *message;
};

static void
queue_name(char *name, size_t room, int index)
{
    snprintf(name, room, "%s-%d", options.name, index);
}

static void
queue_open_posix(struct queue *queue, int index)
{
    struct mq_attr attributes = {.mq_maxmsg = DEPTH, .mq_msgsize = (long)queue->limit};
    char name[256];

    queue_name(name, sizeof name, index);
    queue->mq = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    if (queue->mq == (mqd_t)-1)
        fail("mq_open");
    mq_unlink(name); /* the children inherit it: nothing can be left behind */
}

static void
queue_open(struct queue *queue, int index)
{
    queue->limit = options.size > MESSAGE_SIZE ? options.size : MESSAGE_SIZE;
    queue->message = calloc(1, sizeof *queue->message + queue->limit);
    if (queue->message == NULL)
        fail("calloc");
    queue->message->type = 1;
    if (options.posix) {
        queue_open_posix(queue, index);
        return;
    }
    queue->id = msgget(options.key + index, IPC_CREAT | IPC_EXCL | 0600);
    if (queue->id < 0)
        fail("msgget");
}

static void
queue_remove(struct queue *queue)
{
    if (!options.posix)
        msgctl(queue->id, IPC_RMID, NULL);
}

/* A deadline long past makes the timed calls try once, whatever the descriptor's O_NONBLOCK. */
static const struct timespec past = {0, 0};

static int
try_send(struct queue *queue)
{
    if (options.posix)
        return mq_timedsend(queue->mq, queue->message->text, options.size, 0, &past) == 0;
    return msgsnd(queue->id, queue->message, options.size, IPC_NOWAIT) == 0;
}

static int
try_receive(struct queue *queue)
{
    if (options.posix)
        return mq_timedreceive(queue->mq, queue->message->text, queue->limit, NULL, &past) >= 0;
    return msgrcv(queue->id, queue->message, queue->limit, 0, IPC_NOWAIT) >= 0;
}

/* Whether the attempt succeeded within the spin budget. */
static int
spin(int (*attempt)(struct queue *), struct queue *queue)
{
    long long end;

    if (attempt(queue))
        return 1;
    for (end = wall_ns() + SPIN_NS; wall_ns() < end;) {
        sched_yield();
        if (attempt(queue))
            return 1;
    }
    return 0;
}

static int
block_in_send(struct queue *queue)
{
    if (options.posix)
        return mq_send(queue->mq, queue->message->text, options.size, 0);
    return msgsnd(queue->id, queue->message, options.size, 0);
}

static ssize_t
block_in_receive(struct queue *queue)
{
    if (options.posix)
        return mq_receive(queue->mq, queue->message->text, queue->limit, NULL);
    return msgrcv(queue->id, queue->message, queue->limit, 0, 0);
}

static void
queue_send(struct queue *queue)
{
    if (options.spinning && spin(try_send, queue))
        return;
    if (block_in_send(queue) < 0)
        fail("send");
}

static void
queue_receive(struct queue *queue)
{
    if (options.spinning && spin(try_receive, queue))
        return;
    if (block_in_receive(queue) < 0)
        fail("receive");
}

/* ******************************** */
/* Other processes                  */
/* ******************************** */

static pid_t people[MAX_PEOPLE];

static struct shared {
    volatile long long received_at;
    struct {
        volatile long received;
        char padding[64 - sizeof(long)];
    } person[MAX_PEOPLE];
} *shared;

static void
shared_open(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        fail("mmap");
}

static void
people_start(void (*body)(struct queue *, int), struct queue *queues)
{
    for (int i = 0; i < options.people; i++) {
        people[i] = fork();
        if (people[i] < 0)
            fail("fork");
        if (people[i] == 0) {
            alarm(TIME_LIMIT_S);
            body(queues, i);
            _exit(0);
        }
    }
    usleep(20000 + 2000 * options.people); /* let them block */
}

static long long
people_cpu_ns(void)
{
    long long total = 0;

    for (int i = 0; i < options.people; i++)
        total += cpu_ns(people[i]);
    return total;
}

static void
people_stop(void)
{
    for (int i = 0; i < options.people; i++) {
        kill(people[i], SIGKILL);
        waitpid(people[i], NULL, 0);
    }
}

/* ******************************** */
/* The works                        */
/* ******************************** */

static void
work_pair(struct queue *queues)
{
    long long wall = wall_ns(), cpu = cpu_ns(0);

    for (long i = 0; i < options.count; i++) {
        queue_send(queues);
        queue_receive(queues);
    }
    print_result((double)(wall_ns() - wall) / options.count,
                 (double)(cpu_ns(0) - cpu) / options.count);
}

static void
body_echo(struct queue *queues, int index)
{
    (void)index;
    for (;;) {
        queue_receive(&queues[0]);
        queue_send(&queues[1]);
    }
}

static void
work_pingpong(struct queue *queues)
{
    long long wall, cpu;

    people_start(body_echo, queues);
    wall = wall_ns();
    cpu = people_cpu_ns() + cpu_ns(0);
    for (long i = 0; i < options.count; i++) {
        queue_send(&queues[0]);
        queue_receive(&queues[1]);
    }
    wall = wall_ns() - wall;
    cpu = people_cpu_ns() + cpu_ns(0) - cpu;
    people_stop();
    print_result((double)wall / options.count, (double)cpu / options.count);
}

static void
body_sender(struct queue *queues, int index)
{
    (void)index;
    for (;;)
        queue_send(queues);
}

/* One way, from one or several producers; the first tenth warms up. */
static void
work_stream(struct queue *queues)
{
    long long wall, cpu;

    people_start(body_sender, queues);
    for (long i = 0; i < options.count / 10 + DEPTH; i++)
        queue_receive(queues);
    wall = wall_ns();
    cpu = people_cpu_ns() + cpu_ns(0);
    for (long i = 0; i < options.count; i++)
        queue_receive(queues);
    wall = wall_ns() - wall;
    cpu = people_cpu_ns() + cpu_ns(0) - cpu;
    people_stop();
    print_result((double)wall / options.count, (double)cpu / options.count);
}

static void
body_receiver(struct queue *queues, int index)
{
    (void)index;
    for (;;)
        queue_receive(queues);
}

/* One way, from one producer to one or several consumers; the first tenth warms up. */
static void
work_fanout(struct queue *queues)
{
    long long wall, cpu;

    people_start(body_receiver, queues);
    for (long i = 0; i < options.count / 10 + DEPTH; i++)
        queue_send(queues);
    wall = wall_ns();
    cpu = people_cpu_ns() + cpu_ns(0);
    for (long i = 0; i < options.count; i++)
        queue_send(queues);
    wall = wall_ns() - wall;
    cpu = people_cpu_ns() + cpu_ns(0) - cpu;
    people_stop();
    print_result((double)wall / options.count, (double)cpu / options.count);
}

static void
body_worker(struct queue *queues, int index)
{
    for (;;) {
        queue_receive(queues);
        shared->received_at = wall_ns();
        shared->person[index].received++;
    }
}

static long
people_received(void)
{
    long total = 0;

    for (int i = 0; i < options.people; i++)
        total += shared->person[i].received;
    return total;
}

/* Send so many messages, and wait until so many have been received in all. */
static void
send_burst(struct queue *queue, long count, long total)
{
    for (long i = 0; i < count; i++)
        queue_send(queue);
    while (people_received() < total)
        usleep(50);
}

/* As many messages as the workers will take; their CPU time only, the sender's is not theirs. */
static void
work_workers(struct queue *queues)
{
    long warm = WARM_UP * options.people;
    long long wall, cpu;

    people_start(body_worker, queues);
    send_burst(queues, warm, warm);
    usleep(10000);
    wall = wall_ns();
    cpu = people_cpu_ns();
    send_burst(queues, options.count, warm + options.count);
    wall = shared->received_at - wall;
    cpu = people_cpu_ns() - cpu;
    people_stop();
    print_result((double)wall / options.count, (double)cpu / options.count);
}

static int
compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

static double
median(double *values, long count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static double *
new_values(void)
{
    double *values = calloc((size_t)options.count, sizeof *values);

    if (values == NULL)
        fail("calloc");
    return values;
}

/* One message at a time, each to workers that all sleep: from before the send to the receipt. */
static void
work_paced(struct queue *queues)
{
    double *latency = new_values();
    long warm = WARM_UP * options.people;
    long long sent, cpu = 0;

    people_start(body_worker, queues);
    for (long i = -warm; i < options.count; i++) {
        if (i == 0)
            cpu = people_cpu_ns();
        sent = wall_ns();
        queue_send(queues);
        do
            usleep((useconds_t)(options.wait * 1e6));
        while (people_received() <= warm + i);
        if (i >= 0)
            latency[i] = (double)(shared->received_at - sent);
    }
    cpu = people_cpu_ns() - cpu;
    people_stop();
    print_result(median(latency, options.count), (double)cpu / options.count);
}

/* Timeouts on an empty queue: how late they end.  System V has none. */
static void
work_timeout(struct queue *queues)
{
    double *late = new_values();
    long long wait = (long long)(options.wait * 1e9), start, end, cpu = cpu_ns(0);
    struct timespec deadline;

    if (!options.posix) {
        errno = ENOTSUP;
        fail("msgrcv with a timeout");
    }
    for (long i = 0; i < options.count; i++) {
        start = wall_ns();
        end = nanoseconds(CLOCK_REALTIME) + wait;
        deadline = (struct timespec){.tv_sec = end / 1000000000, .tv_nsec = end % 1000000000};
        mq_timedreceive(queues->mq, queues->message->text, queues->limit, NULL, &deadline);
        late[i] = (double)(wall_ns() - start - wait);
    }
    print_result(median(late, options.count), (double)(cpu_ns(0) - cpu) / options.count);
}

/* ******************************** */
/* Command line                     */
/* ******************************** */

static const struct {
    const char *name;
    void (*run)(struct queue *);
} works[] = {
    {"pair", work_pair},       {"pingpong", work_pingpong}, {"stream", work_stream},
    {"fanout", work_fanout},   {"workers", work_workers},   {"paced", work_paced},
    {"timeout", work_timeout},
};

static int
run_work(void)
{
    struct queue queues[2];

    alarm(TIME_LIMIT_S);
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        if (strcmp(works[i].name, options.work) != 0)
            continue;
        shared_open();
        queue_open(&queues[0], 0);
        queue_open(&queues[1], 1);
        works[i].run(queues);
        queue_remove(&queues[0]);
        queue_remove(&queues[1]);
        return 0;
    }
    fprintf(stderr, "no such work: %s\n", options.work);
    return 2;
}

/* What a killed measurement may have left: queues of these names and keys. */
static int
remove_leftovers(const char *name, key_t key)
{
    int id;

    options.name = name;
    for (int i = 0; i < 2; i++) {
        char full[256];

        queue_name(full, sizeof full, i);
        mq_unlink(full);
        id = msgget(key + i, 0);
        if (id >= 0)
            msgctl(id, IPC_RMID, NULL);
    }
    return 0;
}

int
main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "remove") == 0)
        return remove_leftovers(argv[2], (key_t)atol(argv[3]));
    if (argc != 10) {
        fprintf(stderr, "usage: see the top of floor.c\n");
        return 2;
    }
    options.work = argv[1];
    options.posix = strcmp(argv[2], "posix") == 0;
    options.spinning = strcmp(argv[3], "spinning") == 0;
    options.name = argv[4];
    options.key = (key_t)atol(argv[5]);
    options.count = atol(argv[6]);
    options.size = (size_t)atol(argv[7]);
    options.people = atoi(argv[8]);
    options.wait = atof(argv[9]);
    if (options.people > MAX_PEOPLE)
        options.people = MAX_PEOPLE;
    return run_work();
}
