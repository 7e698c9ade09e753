//! The wire itself: functions of the C library by which a program gets at time, chance and threads, defined once more.
//!
//! The linker prefers these definitions to the library's. They do what the library's do, and on a thread that has armed
//! the wire they note who called. Which calls are a fault is left to the tests.
#![expect(unsafe_code, reason = "C functions are defined and called here, and nowhere else")]

use libc::{c_int, c_long, c_uint, c_void, pthread_attr_t, pthread_t, size_t, ssize_t, time_t, timespec, timeval};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Trips that are kept with the way that led to them; the others are only named.
const TRACED_MAX: usize = 3;

/// A call of one of the functions below.
#[derive(Debug)]
pub struct Trip {
    /// The function's name.
    pub call: &'static str,
    /// Who called it.
    pub from: String,
}

thread_local! {
    // Both without a lazy start: the functions are called before and after all that a thread does.
    static ARMED: Cell<bool> = const { Cell::new(false) };
    static TRIPS: RefCell<Vec<(&'static str, Option<Backtrace>)>> = const { RefCell::new(Vec::new()) };
}

/// Does `what` with the wire armed on this thread; returns what was caught as well. When it panics the wire stays armed
/// until the thread ends, which is soon.
pub fn armed<T>(what: impl FnOnce() -> T) -> (T, Vec<Trip>) {
    TRIPS.take();
    ARMED.set(true);
    let result = what();
    ARMED.set(false);
    let unknown = || "somewhere after the first few".to_owned();
    let trip = |(call, from): (_, Option<Backtrace>)| Trip { call, from: from.map_or_else(unknown, |b| b.to_string()) };
    (result, TRIPS.take().into_iter().map(trip).collect())
}

/// Notes a call, when the wire is armed.
fn trip(call: &'static str) {
    if ARMED.replace(false) {
        // Disarmed meanwhile: finding out who called may call these functions itself.
        TRIPS.with_borrow_mut(|trips| {
            let from = (trips.len() < TRACED_MAX).then(Backtrace::force_capture);
            trips.push((call, from));
        });
        ARMED.set(true);
    }
}

/// A function of the C library, found when it is called first.
struct Real {
    name: &'static CStr,
    at: AtomicPtr<c_void>,
}

impl Real {
    const fn new(name: &'static CStr) -> Self {
        Self { name, at: AtomicPtr::new(std::ptr::null_mut()) }
    }

    fn at(&self) -> *mut c_void {
        let known = self.at.load(Ordering::Relaxed);
        if !known.is_null() {
            return known;
        }
        // SAFETY: the name ends with a zero; the next definition after this program's is the library's.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        if found.is_null() {
            // The callers promise to do what the function does, and cannot. No message: that may need the function.
            std::process::abort();
        }
        self.at.store(found, Ordering::Relaxed);
        found
    }
}

/// Defines a function once more: notes the call, then calls the library's.
macro_rules! wired {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {$(
        // SAFETY of the name: it is meant to stand before the library's, and has its signature.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($arg: $type),*) -> $result {
            const NAME: &CStr = match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => panic!("it ends with a zero"),
            };
            static REAL: Real = Real::new(NAME);
            trip(stringify!($name));
            // SAFETY: the C library defines the function of this name with this signature.
            let real: unsafe extern "C" fn($($type),*) -> $result = unsafe { std::mem::transmute(REAL.at()) };
            // SAFETY: the arguments are the caller's, who has promised the library's function what it needs.
            unsafe { real($($arg),*) }
        }
    )*};
}

wired! {
    fn getrandom(buf: *mut c_void, len: size_t, flags: c_uint) -> ssize_t;
    fn getentropy(buf: *mut c_void, len: size_t) -> c_int;
    fn clock_gettime(clock: libc::clockid_t, to: *mut timespec) -> c_int;
    fn gettimeofday(to: *mut timeval, zone: *mut c_void) -> c_int;
    fn time(to: *mut time_t) -> time_t;
    fn pthread_create(
        thread: *mut pthread_t,
        attributes: *const pthread_attr_t,
        start: extern "C" fn(*mut c_void) -> *mut c_void,
        argument: *mut c_void
    ) -> c_int;
}

// SAFETY of the name: as above. The library's function takes as many arguments as the call needs; on the targets that
// this is built for they come in the same registers as those of a function with seven, the last on x86-64 on the stack,
// where there is always something to read. The kernel looks at no more of them than the call has.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    static REAL: Real = Real::new(c"syscall");
    if [libc::SYS_getrandom, libc::SYS_clock_gettime, libc::SYS_gettimeofday].contains(&number) {
        trip("syscall");
    }
    // SAFETY: this is the C library's signature.
    let real: unsafe extern "C" fn(c_long, ...) -> c_long = unsafe { std::mem::transmute(REAL.at()) };
    // SAFETY: the arguments are the caller's, who has promised the library's function what it needs.
    unsafe { real(number, a, b, c, d, e, f) }
}

/// Calls the two functions for the time that nothing in Rust calls any more.
pub fn ask_for_the_time() {
    let mut now = timeval { tv_sec: 0, tv_usec: 0 };
    // SAFETY: both take a null pointer for what is not wanted, and `now` is a place for the time.
    unsafe {
        libc::time(std::ptr::null_mut());
        libc::gettimeofday(&raw mut now, std::ptr::null_mut());
    }
}
