/* What a child does with its own process: Linux primitives that Python's os module lacks. */
#ifndef STK_PROCESS_H
#define STK_PROCESS_H

int stk_pdeathsig(int signal); /* sent by the kernel when the parent thread ends; 0: none any more. 0 or -errno */
int stk_subreaper(void);       /* adopt orphaned descendants; 0 or -errno */
int stk_collapse(void);        /* move memory into huge pages: how many were made; see collapse.c */

#endif
