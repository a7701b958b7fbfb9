// Watching an fd from an event loop. net.Socket refuses eventfds, fs.read of one holds a thread
// of libuv's pool, and TAP fds fit neither: so each watcher is a small thread in poll(), which
// hands readiness to JavaScript and then waits until the callback has returned. Watchers are
// named by numbers, so a stale one is an unknown number and never a dangling pointer.
#include "shim.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct watcher {
  struct watcher *next;
  napi_env env;
  napi_threadsafe_function deliver;
  pthread_t thread;
  int64_t id;
  int fd;
  int wake; // eventfd: "look at stop and armed again"
  short events;
  int stop;  // atomic
  int armed; // atomic: 1 while poll() should look at fd
} watcher;

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static watcher *list;
static int64_t last_id;

static void wake(watcher *w) {
  uint64_t one = 1;
  (void)IXY_CALL(write(w->wake, &one, sizeof one));
}

static void *watch_loop(void *data) {
  watcher *w = data;
  while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
    bool armed = __atomic_load_n(&w->armed, __ATOMIC_ACQUIRE);
    // poll() skips a negative fd.
    struct pollfd entries[2] = {{w->wake, POLLIN, 0}, {armed ? w->fd : -1, w->events, 0}};
    uint64_t ignored;
    if (poll(entries, 2, -1) < 0) {
      if (errno == EINTR || errno == ENOMEM) continue;
      break;
    }
    if (entries[0].revents != 0 && read(w->wake, &ignored, sizeof ignored) < 0) continue;
    if (entries[1].revents == 0) continue;
    __atomic_store_n(&w->armed, 0, __ATOMIC_RELEASE);
    void *revents = (void *)(intptr_t)entries[1].revents;
    if (napi_call_threadsafe_function(w->deliver, revents, napi_tsfn_nonblocking) == napi_closing)
      break;
  }
  return NULL;
}

static void call_back(napi_env env, napi_value callback, void *context, void *data) {
  watcher *w = context;
  napi_value argument, error, receiver;
  if (env == NULL || __atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) return;
  napi_create_int32(env, (int32_t)(intptr_t)data, &argument);
  napi_get_undefined(env, &receiver);
  napi_status status = napi_call_function(env, receiver, callback, 1, &argument, NULL);
  // Some Node versions only warn about an exception in such a callback: make it an uncaught one.
  if (status == napi_pending_exception && napi_get_and_clear_last_exception(env, &error) == napi_ok)
    napi_fatal_exception(env, error);
  if (__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) return; // the callback cancelled it
  __atomic_store_n(&w->armed, 1, __ATOMIC_RELEASE);
  wake(w);
}

static void free_watcher(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
}

static watcher *find(napi_env env, int64_t id, bool unlink) {
  watcher *found = NULL;
  pthread_mutex_lock(&list_lock);
  for (watcher **at = &list; *at != NULL; at = &(*at)->next) {
    if ((*at)->id != id || (*at)->env != env) continue;
    found = *at;
    if (unlink) *at = found->next;
    break;
  }
  pthread_mutex_unlock(&list_lock);
  return found;
}

// Runs on the thread of its environment. `w` is off the list, and is freed when the threadsafe
// function is finalized.
static void stop_watcher(watcher *w) {
  __atomic_store_n(&w->stop, 1, __ATOMIC_RELEASE);
  wake(w);
  pthread_join(w->thread, NULL);
  close(w->wake);
  napi_release_threadsafe_function(w->deliver, napi_tsfn_abort);
}

// Cleanup hooks run last in, first out: the threadsafe function's own hook comes after this one.
static void on_env_end(void *data) {
  watcher *w = data;
  if (find(w->env, w->id, true) != NULL) stop_watcher(w);
}

static int start_thread(watcher *w) {
  sigset_t all, old;
  sigfillset(&all);
  sigdelset(&all, SIGBUS);
  // All signals but SIGBUS (guard.c) are left to the threads of Node.
  pthread_sigmask(SIG_SETMASK, &all, &old);
  int error = pthread_create(&w->thread, NULL, watch_loop, w);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (error == 0) pthread_setname_np(w->thread, "ixy-watch");
  return error;
}

// Undoes as much of js_watchStart as was done. Returns -error.
static int64_t give_up(watcher *w, int error) {
  if (w->wake >= 0) close(w->wake);
  if (w->deliver == NULL) free(w);
  else napi_release_threadsafe_function(w->deliver, napi_tsfn_abort); // frees w
  return -error;
}

static int64_t js_watchStart(ixy_args *args) {
  napi_env env = args->env;
  napi_value label;
  args->name = "watchFd"; // as TypeScript offers it
  int fd = ixy_arg_fd(args, 0);
  if (ixy_arg_type(args, 1) != napi_function) ixy_args_fail(args, 1, "a function", false);
  short events = (short)ixy_arg_int(args, 2, 0, INT16_MAX);
  if (args->failed) return 0;
  struct pollfd probe = {fd, 0, 0};
  if (fd < 0 || poll(&probe, 1, 0) < 0 || (probe.revents & POLLNVAL) != 0) return -EBADF;
  watcher *w = calloc(1, sizeof *w);
  if (w == NULL) return -ENOMEM;
  w->env = env;
  w->fd = fd;
  w->events = events;
  w->armed = 1;
  w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (w->wake < 0) return give_up(w, errno);
  napi_create_string_utf8(env, "ixy:watchFd", NAPI_AUTO_LENGTH, &label);
  if (napi_create_threadsafe_function(env, args->values[1], NULL, label, 0, 1, w, free_watcher, w,
                                      call_back, &w->deliver) != napi_ok)
    return give_up(w, ENOMEM);
  int error = start_thread(w);
  if (error != 0) return give_up(w, error);
  pthread_mutex_lock(&list_lock);
  w->id = ++last_id;
  w->next = list;
  list = w;
  pthread_mutex_unlock(&list_lock);
  napi_add_env_cleanup_hook(env, on_env_end, w);
  return w->id;
}

static int64_t js_watchCancel(ixy_args *args) {
  int64_t id = ixy_arg_int(args, 0, 1, IXY_MAX_SAFE);
  watcher *w = args->failed ? NULL : find(args->env, id, true);
  if (w == NULL) return 0;
  napi_remove_env_cleanup_hook(args->env, on_env_end, w);
  stop_watcher(w);
  return 1;
}

static int64_t js_watchRef(ixy_args *args) {
  int64_t id = ixy_arg_int(args, 0, 1, IXY_MAX_SAFE);
  bool on = ixy_arg_bool(args, 1);
  watcher *w = args->failed ? NULL : find(args->env, id, false);
  if (w == NULL) return 0;
  if (on) napi_ref_threadsafe_function(args->env, w->deliver);
  else napi_unref_threadsafe_function(args->env, w->deliver);
  return 1;
}

static const ixy_function functions[] = {IXY_FUNCTION(watchStart), IXY_FUNCTION(watchCancel),
                                         IXY_FUNCTION(watchRef)};
const ixy_table ixy_watch_table = IXY_TABLE(functions);
