/* Namespaces, mounts and capabilities: system calls that Python's os module lacks. Each returns 0 or -errno. */
#ifndef STK_NAMESPACE_H
#define STK_NAMESPACE_H

/* A user and a mount namespace of its own: this process's user is `uid` there, its group `gid`, and it has every
 * capability over it. Mounts that are there cannot be undone from inside. Single-threaded processes only. */
int stk_enter_namespaces(int uid, int gid);
/* A mount namespace of its own, in the user namespace that it is in. */
int stk_unshare_mounts(void);
/* The kind of file system `type` with these options, at `target`. */
int stk_mount_new(const char *type, const char *target, const char *options);
/* What is at `source`, and below, at `target`, too. */
int stk_mount_bind(const char *source, const char *target);
/* The mount at `target` read-only; those below it, too, where `recursive`, and the kernel can (Linux 5.12). */
int stk_mount_read_only(const char *target, int recursive);
/* The working directory becomes the root; what was the root is gone. */
int stk_enter_root(void);
/* Which of its permitted capabilities it may use: all or none. */
int stk_use_capabilities(int all);
/* No capability any more, nor by executing a file that has some. */
int stk_pass_capabilities(int on); /* does the next program of this process have them? Without them it goes on */
int stk_drop_capabilities(void);
/* Could a process of this one's do all that? Tried in a child. */
int stk_namespaces_probe(void);

#endif
