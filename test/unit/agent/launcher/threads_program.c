/* What a scheduler of tasks on threads asks of the kernel, as a program that runs inside a sandbox: threads_test.c
 * builds it. It ends with "all well", or tells the first call that failed. */
#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

static void must(const char *what, long r)
{
    if (r >= 0)
        return;
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

static atomic_int signals;
static atomic_int on_alternate;

static void on_signal(int signal, siginfo_t *info, void *context)
{
    char here;
    stack_t s;

    (void)signal, (void)info, (void)context;
    sigaltstack(NULL, &s);
    on_alternate += (s.ss_flags & SS_ONSTACK) && &here >= (char *)s.ss_sp;
    signals++;
}

static void *thread(void *arg)
{
    static _Thread_local char name[16];
    stack_t s = {.ss_sp = malloc(65536), .ss_size = 65536};
    union sigval v = {.sival_int = 7};
    pid_t tid = (pid_t)syscall(SYS_gettid);
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE, .si_value = v};

    (void)arg;
    must("sigaltstack", sigaltstack(&s, NULL));
    must("prctl(PR_SET_NAME)", prctl(PR_SET_NAME, "worker"));
    must("prctl(PR_GET_NAME)", prctl(PR_GET_NAME, name));
    must("the name", strcmp(name, "worker") ? -1 : 0);
    must("tgkill", syscall(SYS_tgkill, getpid(), tid, SIGUSR1));
    must("rt_tgsigqueueinfo", syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, SIGUSR1, &info));
    must("rt_sigqueueinfo", syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR2, &info));
    return NULL;
}

static void memory(void)
{
    size_t size = 256 << 10;
    char *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    must("mmap", p == MAP_FAILED ? -1 : 0);
    must("mprotect", mprotect(p + 4096, size - 4096, PROT_READ | PROT_WRITE));
    p[size - 1] = 1;
    must("madvise(MADV_DONTNEED)", madvise(p + 4096, size - 4096, MADV_DONTNEED));
    must("madvise(MADV_FREE)", madvise(p + 4096, size - 4096, MADV_FREE));
    must("madvise(MADV_NOHUGEPAGE)",
         madvise(p, size, MADV_NOHUGEPAGE) < 0 && errno != EINVAL ? -1 : 0);
    must("madvise(MADV_GUARD_INSTALL)", madvise(p, 4096, 102) < 0 && errno != EINVAL ? -1 : 0);
    must("munmap", munmap(p, size));
}

static void waiting(void)
{
    int ep = epoll_create1(EPOLL_CLOEXEC), event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct itimerspec soon = {.it_value.tv_nsec = 1000};
    struct epoll_event e = {.events = EPOLLIN | EPOLLONESHOT}, got[2];

    must("epoll_create1", ep);
    must("eventfd", event);
    must("timerfd_create", timer);
    must("timerfd_settime", timerfd_settime(timer, 0, &soon, NULL));
    must("epoll_ctl", epoll_ctl(ep, EPOLL_CTL_ADD, timer, &e));
    must("epoll_wait", epoll_wait(ep, got, 2, 5000) == 1 ? 0 : -1);
    e.events = EPOLLIN | EPOLLET;
    must("epoll_ctl", epoll_ctl(ep, EPOLL_CTL_ADD, event, &e));
    must("eventfd_write", eventfd_write(event, 1));
    must("epoll_pwait", epoll_pwait(ep, got, 2, 5000, NULL) == 1 ? 0 : -1);
}

static void processors(void)
{
    cpu_set_t set;

    must("membarrier(QUERY)", syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0));
    must("membarrier(REGISTER)",
         syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
    must("membarrier(EXPEDITED)", syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
    must("sched_getaffinity", sched_getaffinity(0, sizeof(set), &set));
    must("sched_yield", sched_yield());
}

int main(void)
{
    struct sigaction sa = {.sa_sigaction = on_signal,
                           .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    pthread_t all[8];

    must("sigaction", sigaction(SIGUSR1, &sa, NULL));
    must("sigaction", sigaction(SIGUSR2, &sa, NULL));
    processors();
    memory();
    waiting();
    for (int i = 0; i < 8; i++)
        must("pthread_create", pthread_create(&all[i], NULL, thread, NULL) ? -1 : 0);
    for (int i = 0; i < 8; i++)
        pthread_join(all[i], NULL);
    /* Two to each thread itself; of those to the process some may have met while one was pending. */
    must("the signals", signals > 16 && signals <= 24 ? 0 : -1);
    must("the alternate stack", on_alternate >= 16 ? 0 : -1);
    puts("all well");
    return 0;
}
