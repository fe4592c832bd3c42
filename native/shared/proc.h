/* Linux process primitives that Python's os module lacks, and the costs that decide how long to spin. */
#ifndef STK_PROC_H
#define STK_PROC_H

#include <stdint.h>

int stk_pdeathsig(int signal);  /* have the kernel send it when our parent thread ends; -errno */
int stk_subreaper(void);        /* adopt orphaned descendants; -errno */
int stk_collapse(void);         /* this process's memory into huge pages: how many there are now; see collapse.c */
int stk_raise_fd(int fd, int floor); /* move a descriptor to at least `floor`, close-on-exec; its new number, -errno */

/* Median ns of a round trip between two threads on the two cores (-1: unpinned), both sleeping on
 * futexes, or both spinning on shared memory. 0 when it cannot be measured. */
uint64_t stk_wake_cost(int rounds, int core_a, int core_b);
uint64_t stk_spin_cost(int rounds, int core_a, int core_b);

#endif
