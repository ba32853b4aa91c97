//! Shared data with compare-and-swap, and shared queues.

use super::{CAS_MISMATCH, EMPTY, NOT_FOUND, OK};
use crate::emulator::abi::{read_from_vm, write_to_vm};
use crate::emulator::state::{Queue, with_host};
use std::collections::VecDeque;

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_shared_data(
    name: *const u8,
    name_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
    cas: *mut u32,
) -> u32 {
    // SAFETY: the ABI's promise.
    let name = unsafe { read_from_vm(name, name_size) };
    match with_host(|host| host.shared.get(name).cloned()) {
        Some((value, version)) => {
            // SAFETY: as above.
            unsafe {
                write_to_vm(&value, data, size);
                *cas = version;
            }
            OK
        }
        None => NOT_FOUND,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_shared_data(
    name: *const u8,
    name_size: usize,
    value: *const u8,
    value_size: usize,
    cas: u32,
) -> u32 {
    // SAFETY: the ABI's promise.
    let (name, value) = unsafe { (read_from_vm(name, name_size).to_vec(), read_from_vm(value, value_size).to_vec()) };
    with_host(|host| {
        // Under a name that was never set, any version is accepted, as in Envoy.
        let version = host.shared.get(&name).map(|(_, version)| *version);
        if version.is_some_and(|version| cas != 0 && cas != version) {
            return CAS_MISMATCH;
        }
        host.shared.insert(name, (value, version.unwrap_or(0).wrapping_add(1).max(1)));
        OK
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_register_shared_queue(name: *const u8, name_size: usize, id: *mut u32) -> u32 {
    // SAFETY: the ABI's promise.
    let name = unsafe { read_from_vm(name, name_size) }.to_vec();
    with_host(|host| {
        let root = host.effective_context();
        let index = host.queues.iter().position(|queue| queue.name == name).unwrap_or_else(|| {
            host.queues.push(Queue { name, root, items: VecDeque::new(), announced: false });
            host.queues.len() - 1
        });
        // A queue belongs to the root context that registered its name last.
        host.queues[index].root = root;
        // SAFETY: as above.
        unsafe { *id = u32::try_from(index + 1).expect("few queues are registered") };
        OK
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_resolve_shared_queue(
    _vm: *const u8,
    _vm_size: usize,
    name: *const u8,
    name_size: usize,
    id: *mut u32,
) -> u32 {
    // SAFETY: the ABI's promise.
    let name = unsafe { read_from_vm(name, name_size) };
    match with_host(|host| host.queues.iter().position(|queue| queue.name == name)) {
        Some(index) => {
            // SAFETY: as above.
            unsafe { *id = u32::try_from(index + 1).expect("few queues are registered") };
            OK
        }
        None => NOT_FOUND,
    }
}

/// The index of the queue with this id.
fn queue_index(id: u32) -> usize {
    (id as usize).wrapping_sub(1)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_dequeue_shared_queue(id: u32, data: *mut *mut u8, size: *mut usize) -> u32 {
    match with_host(|host| host.queues.get_mut(queue_index(id)).map(|queue| queue.items.pop_front())) {
        None => NOT_FOUND,
        Some(None) => EMPTY,
        Some(Some(item)) => {
            // SAFETY: the ABI's promise.
            unsafe { write_to_vm(&item, data, size) };
            OK
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_enqueue_shared_queue(id: u32, value: *const u8, value_size: usize) -> u32 {
    // SAFETY: the ABI's promise.
    let value = unsafe { read_from_vm(value, value_size) }.to_vec();
    with_host(|host| match host.queues.get_mut(queue_index(id)) {
        None => NOT_FOUND,
        Some(queue) => {
            queue.items.push_back(value);
            queue.announced = true;
            OK
        }
    })
}
