// Work on several threads, in tasks that any thread may take.

#pragma once

#include <atomic>
#include <cstdint>

namespace {

// PyTorch's own OpenMP runtime, passed in by the caller: a second one would keep a second pool of spinning threads.
using Parallel = void (*)(void (*)(void*), void*, unsigned threads, unsigned flags);

template <class Work> struct Job {
    const Work& work;
    int64_t tasks;
    std::atomic<int64_t> next{0};
};

template <class Work> void take_tasks(void* argument) {
    Job<Work>& job = *static_cast<Job<Work>*>(argument);
    for (int64_t task; (task = job.next.fetch_add(1, std::memory_order_relaxed)) < job.tasks;) job.work(task);
}

// All threads are asked for even when there are fewer tasks: changing the number rebuilds the runtime's pool.
template <class Work> void run(const Work& work, int64_t tasks, int64_t threads, Parallel parallel) {
    Job<Work> job{work, tasks};
    if (parallel && threads > 1 && tasks > 1)
        parallel(take_tasks<Work>, &job, unsigned(threads), 0);
    else
        take_tasks<Work>(&job);
}

}  // namespace
