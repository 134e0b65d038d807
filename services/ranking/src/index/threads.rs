//! Faiss on one thread, where it would otherwise build what depends on how its threads took turns.

use std::ffi::c_int;

unsafe extern "C" {
    /// OpenMP 5.2, §18.2.4.
    fn omp_get_max_threads() -> c_int;
    /// OpenMP 5.2, §18.2.1.
    fn omp_set_num_threads(count: c_int);
}

/// Does `work` with one OpenMP thread. The setting is the calling thread's alone, and as it was afterwards.
pub(super) fn on_one_thread<T>(work: impl FnOnce() -> T) -> T {
    let _restored = Threads::now();
    // SAFETY: takes a positive number and changes a variable of the calling thread, by OpenMP's definition of
    // `nthreads-var`. Faiss links the library that defines it.
    unsafe { omp_set_num_threads(1) };
    work()
}

/// How many threads there were; sets it again, also after a panic.
struct Threads(c_int);

impl Threads {
    fn now() -> Self {
        // SAFETY: reads a variable of the calling thread.
        Self(unsafe { omp_get_max_threads() })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // SAFETY: as in `on_one_thread`; the number came from OpenMP, and is positive.
        unsafe { omp_set_num_threads(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_thread_within_and_as_many_as_before_afterwards() {
        // SAFETY: as above.
        unsafe { omp_set_num_threads(3) };

        let within = on_one_thread(|| Threads::now().0);

        assert_eq!((within, Threads::now().0), (1, 3));
    }
}
