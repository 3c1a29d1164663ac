/* The spin before a sleep: try and yield by turns. Each direction of a queue learns when that pays,
 * and spins less where it does not. */

#include "wait_internal.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#define MQC_MOST_MISSES 10
#define MQC_RARE_NS 10000000 /* messages that come less often are never worth a spin */

/* A program that waits for the same queue gives the CPU back sooner, one that computes does not. */
#define MQC_LONG_YIELD_NS MQC_MILLISECOND
#define MQC_STRIKE 64 /* a strike weighs as much as this many short yields that brought a message */
#define MQC_MOST_STRIKES (2 * MQC_STRIKE)
#define MQC_BAR_US 80000

/* ***** the machine ***** */

#ifdef __linux__

static int
mqc_has_one_cpu(void)
{
    cpu_set_t cpus;

    /* This fails on a machine with more CPUs than the mask has bits. */
    return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) < 2;
}

#else

static int
mqc_has_one_cpu(void)
{
    return sysconf(_SC_NPROCESSORS_ONLN) == 1;
}

#endif /* __linux__ */

/* Count the CPUs again: a process may be given more of them, or fewer. */
void
mqc_count_cpus(mqc_gate *gate)
{
    atomic_store(&gate->single_cpu, mqc_has_one_cpu());
}

/* Whether more threads want to run than there are CPUs. /proc/loadavg has their number before the
 * slash: "0.42 0.36 0.31 3/211 4711". Where that file is missing, the answer is no. */
static int
mqc_is_overloaded(void)
{
    int file = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    char text[80] = "";
    long runnable = 0;

    if (file < 0 || read(file, text, sizeof(text) - 1) <= 0) {
        text[0] = '/';
    }
    if (file >= 0) {
        close(file);
    }
    for (const char *next = text; *next != '/' && *next != '\0'; next++) {
        runnable = *next == ' ' ? 0 : 10 * runnable + (*next - '0');
    }
    return runnable > sysconf(_SC_NPROCESSORS_ONLN);
}

/* ***** misses: no message came during the spin ***** */

static void
mqc_spin_missed(mqc_gate *gate, mqc_spin *spin)
{
    unsigned misses = atomic_load(&spin->misses);

    if (misses < MQC_MOST_MISSES) {
        atomic_store(&spin->misses, ++misses);
    }
    atomic_store(&spin->skip, (1u << misses) - 1);
    mqc_count_cpus(gate);
}

/* Learn from a sleep that brought a message. If it was short, a spin would probably have caught
 * the message: halve the waits that skip the spin. If several sleeps in a row were long and spins
 * have missed, messages come too rarely: skip the spin as often as possible. */
void
mqc_spin_learn(mqc_gate *gate, mqc_spin *spin, int64_t slept)
{
    if (slept < 4 * gate->spin_ns) {
        atomic_store(&spin->skip, atomic_load(&spin->skip) / 2);
    }
    if (slept < MQC_RARE_NS) {
        atomic_store(&spin->long_sleeps, 0);
    }
    else if (atomic_fetch_add(&spin->long_sleeps, 1) >= 2 && atomic_load(&spin->misses) > 1) {
        atomic_store(&spin->misses, MQC_MOST_MISSES);
        atomic_store(&spin->skip, (1u << MQC_MOST_MISSES) - 1);
    }
}

/* ***** strikes: other programs take the CPU ***** */

static void
mqc_spin_bar(mqc_spin *spin, int64_t now)
{
    atomic_store(&spin->barred_until, (unsigned)(now / 1000) + MQC_BAR_US);
}

/* Judge a yield. It may give the CPU to a program that computes, for a whole slice of the
 * scheduler. What a long yield brought tells: if a message was there, it has waited for this
 * thread, and a sleep in the kernel would have been quicker. If there was none, other readers or
 * writers of the queue were at work, and nothing was lost. (The time of a yield includes the try
 * after it. If that takes long, the message is so large that a spin saves nothing.) */
static void
mqc_spin_judge(mqc_spin *spin, int64_t now, int64_t yielded, int brought)
{
    int strikes = atomic_load_explicit(&spin->strikes, memory_order_relaxed);

    if (yielded < MQC_LONG_YIELD_NS) {
        strikes -= brought;
    }
    else {
        strikes += brought ? MQC_STRIKE : -2 * MQC_STRIKE;
    }
    if (strikes > MQC_MOST_STRIKES) {
        strikes -= MQC_STRIKE; /* the next strike bars again */
        mqc_spin_bar(spin, now);
    }
    atomic_store_explicit(&spin->strikes, strikes > 0 ? strikes : 0, memory_order_relaxed);
}

/* Whether the spin is barred because other programs take the CPU. If the machine is still
 * overloaded when the time is up, bar it again: to try it would cost a slice of the scheduler. */
static int
mqc_spin_is_barred(mqc_spin *spin, int64_t now)
{
    unsigned until = atomic_load_explicit(&spin->barred_until, memory_order_relaxed);

    if (until == 0) {
        return 0;
    }
    if (until - (unsigned)(now / 1000) <= MQC_BAR_US) {
        return 1;
    }
    if (mqc_is_overloaded()) {
        mqc_spin_bar(spin, now);
        return 1;
    }
    atomic_store(&spin->barred_until, 0);
    return 0;
}

/* Before the first spin: on an overloaded machine two strikes bar the spin, elsewhere three. */
static void
mqc_spin_begin(mqc_spin *spin)
{
    if (!atomic_load_explicit(&spin->has_begun, memory_order_relaxed)) {
        atomic_store(&spin->has_begun, 1);
        atomic_store(&spin->strikes, mqc_is_overloaded() ? MQC_STRIKE : 0);
    }
}

/* ***** the spin ***** */

/* Return when a spin that begins now shall end, or 0 if the wait shall sleep at once. */
int64_t
mqc_spin_end(mqc_gate *gate, mqc_spin *spin, int64_t deadline)
{
    unsigned skip = atomic_load_explicit(&spin->skip, memory_order_relaxed);
    int64_t now, end;

    if (gate->spin_ns == 0 || atomic_load_explicit(&gate->single_cpu, memory_order_relaxed)) {
        return 0;
    }
    if (skip > 0) {
        atomic_store(&spin->skip, skip - 1);
        return 0;
    }
    now = mqc_now();
    if (mqc_spin_is_barred(spin, now)) {
        return 0;
    }
    mqc_spin_begin(spin);
    end = now + gate->spin_ns;
    return end < deadline ? end : deadline;
}

/* Spin until slice_end. The spin has missed if spin_end has passed then, too. Returns
 * MQC_WOULD_BLOCK at the end, MQC_CLOSED, or what else the attempt returns. */
mqc_outcome
mqc_spin_on(mqc_wait *wait, int64_t slice_end, int64_t spin_end)
{
    mqc_spin *spin = wait->spin;
    int64_t now = mqc_now();

    do {
        int64_t before = now;
        mqc_outcome outcome;
        int brought;
        sched_yield();
        outcome = wait->attempt(wait->context, MQC_MUST_RETURN, &wait->os_errno);
        brought = outcome == MQC_DONE || outcome == MQC_PROGRESS;
        now = mqc_now();
        mqc_spin_judge(spin, now, now - before, brought);
        if (brought) {
            atomic_store_explicit(&spin->misses, 0, memory_order_relaxed);
        }
        if (outcome != MQC_WOULD_BLOCK) {
            return outcome;
        }
        if (atomic_load_explicit(&wait->gate->closed, memory_order_relaxed)) {
            return MQC_CLOSED;
        }
    } while (now < slice_end);
    if (now >= spin_end) {
        mqc_spin_missed(wait->gate, spin);
    }
    return MQC_WOULD_BLOCK;
}
