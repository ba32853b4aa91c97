//! A minimal deterministic host for the shipped module, which counts instructions and host calls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasmi::{
    Caller, CompilationMode, Config, Engine, Error, Extern, ExternType, Instance, Linker, Memory, Module, Store, Val,
};

/// The cost of one phase of a request.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Cost {
    /// Instructions, as wasmi counts fuel.
    pub instructions: u64,
    /// The number of host calls, by name.
    pub host_calls: BTreeMap<String, u64>,
}

pub type Headers = Vec<(String, String)>;

/// The time of the host, in milliseconds since 1970; it never advances.
const NOW_MS: u64 = 1_800_000_000_000;

/// The ABI's status codes of host calls.
const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const CAS_MISMATCH: u32 = 8;
const EMPTY: u32 = 7;

/// The limit on instructions of one phase: it ends an endless loop.
const FUEL: u64 = 1_000_000_000;

#[derive(Default)]
pub struct Host {
    configuration: String,
    /// Header maps, by their number in the ABI.
    maps: BTreeMap<u32, Headers>,
    call_response: String,
    shared: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    metrics: Vec<i64>,
    queues: u32,
    calls: u32,
    counts: BTreeMap<String, u64>,
    /// The status of the local reply, if the module has sent one.
    pub replied: Option<u32>,
    pub resumed: bool,
    pub log: Vec<String>,
}

/// The ABI's numbers of header maps and buffers.
pub const REQUEST_HEADERS: u32 = 0;
pub const REQUEST_TRAILERS: u32 = 1;
pub const RESPONSE_HEADERS: u32 = 2;
const CALL_HEADERS: u32 = 6;
const CALL_BODY: u32 = 4;
const CONFIGURATION: u32 = 7;

/// Loads a module for counting. It is translated eagerly, since lazy translation would be counted as well.
pub fn load(module: &[u8]) -> Module {
    let mut config = Config::default();
    config.consume_fuel(true).compilation_mode(CompilationMode::Eager);
    Module::new(&Engine::new(&config), module).expect("the shipped module is valid")
}

/// A running module with its host.
pub struct Vm {
    pub store: Store<Host>,
    instance: Instance,
}

impl Vm {
    pub fn start(module: &Module, configuration: String) -> Self {
        let engine = module.engine();
        let mut linker = Linker::new(engine);
        for import in module.imports() {
            let ExternType::Func(ty) = import.ty() else { panic!("the import {} is no function", import.name()) };
            let name = import.name().to_owned();
            let has_result = !ty.results().is_empty();
            let call = move |mut caller: Caller<'_, Host>, arguments: &[Val], results: &mut [Val]| {
                *caller.data_mut().counts.entry(name.clone()).or_default() += 1;
                let status = HostCall { caller: &mut caller, arguments }.run(&name)?;
                if has_result {
                    results[0] = Val::I32(status.cast_signed());
                }
                Ok(())
            };
            linker.func_new(import.module(), import.name(), ty.clone(), call).expect("each import is defined once");
        }
        let mut store = Store::new(engine, Host { configuration, ..Host::default() });
        store.set_fuel(FUEL).expect("fuel is counted");
        let instance = linker.instantiate_and_start(&mut store, module).expect("the module starts");
        let mut vm = Self { store, instance };
        vm.call("_initialize", &[]);
        vm.call("proxy_on_context_create", &[ROOT, 0]);
        vm.call("proxy_on_vm_start", &[ROOT, 0]);
        let size = vm.store.data().configuration.len();
        let accepted = vm.call("proxy_on_configure", &[ROOT, u32::try_from(size).expect("configurations are small")]);
        assert_eq!(accepted, Some(1), "the configuration was refused: {:#?}", vm.store.data().log);
        vm
    }

    /// Calls an export of the module.
    pub fn call(&mut self, name: &str, arguments: &[u32]) -> Option<u32> {
        let export =
            self.instance.get_func(&self.store, name).unwrap_or_else(|| panic!("the module does not export {name}"));
        let arguments: Vec<_> = arguments.iter().map(|argument| Val::I32(argument.cast_signed())).collect();
        let mut results = vec![Val::I32(0); export.ty(&self.store).results().len()];
        export.call(&mut self.store, &arguments, &mut results).unwrap_or_else(|error| {
            panic!("{name} trapped: {error}; the log: {:#?}", self.store.data().log);
        });
        results.first().and_then(Val::i32).map(i32::cast_unsigned)
    }

    /// The cost of a phase.
    pub fn cost(&mut self, phase: impl FnOnce(&mut Self)) -> Cost {
        self.store.set_fuel(FUEL).expect("fuel is counted");
        self.store.data_mut().counts.clear();
        phase(self);
        let left = self.store.get_fuel().expect("fuel is counted");
        Cost { instructions: FUEL - left, host_calls: std::mem::take(&mut self.store.data_mut().counts) }
    }

    pub fn set_map(&mut self, map: u32, headers: Headers) -> u32 {
        let count = u32::try_from(headers.len()).expect("few headers");
        self.store.data_mut().maps.insert(map, headers);
        count
    }

    /// The id of the last HTTP call that the module dispatched; 0 before the first.
    pub fn last_call(&self) -> u32 {
        self.store.data().calls
    }

    /// rest-sessions responds to a call with status 200 and this body.
    pub fn respond(&mut self, call: u32, body: &str) {
        let headers =
            [(":status", "200"), ("content-type", "application/json"), ("x-envoy-upstream-service-time", "1")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let count = self.set_map(CALL_HEADERS, headers.to_vec());
        self.store.data_mut().call_response = body.to_owned();
        let size = u32::try_from(body.len()).expect("call responses are small");
        self.call("proxy_on_http_call_response", &[ROOT, call, count, size, 0]);
    }
}

/// The id of the root context; streams have higher ones.
pub const ROOT: u32 = 1;

/// One host call.
struct HostCall<'a, 'caller> {
    caller: &'a mut Caller<'caller, Host>,
    arguments: &'a [Val],
}

impl HostCall<'_, '_> {
    fn run(&mut self, name: &str) -> Result<u32, Error> {
        match name {
            "proxy_get_current_time_nanoseconds" => self.write(0, &(NOW_MS * 1_000_000).to_le_bytes()),
            // Log level warning, as Envoy is usually run.
            "proxy_get_log_level" => self.write(0, &3_u32.to_le_bytes()),
            "proxy_log" => {
                let line = String::from_utf8_lossy(&self.bytes(1)?).into_owned();
                self.caller.data_mut().log.push(line);
                Ok(OK)
            }
            "proxy_get_header_map_pairs" => {
                let map = self.caller.data().maps.get(&self.number(0)).cloned().unwrap_or_default();
                self.write_allocated(&serialized(&map), 1)
            }
            "proxy_get_buffer_bytes" => match self.number(0) {
                CALL_BODY => self.write_allocated(&self.caller.data().call_response.clone().into_bytes(), 3),
                CONFIGURATION => self.write_allocated(&self.caller.data().configuration.clone().into_bytes(), 3),
                _ => Ok(NOT_FOUND),
            },
            "proxy_remove_header_map_value" => {
                let name = self.bytes(1)?;
                self.map(|headers| headers.retain(|(other, _)| other.as_bytes() != name))
            }
            "proxy_add_header_map_value" | "proxy_replace_header_map_value" => {
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                let (header, value) = (text(self.bytes(1)?), text(self.bytes(3)?));
                let replaces = name.starts_with("proxy_replace");
                self.map(|headers| {
                    headers.retain(|(other, _)| !replaces || *other != header);
                    headers.push((header, value));
                })
            }
            "proxy_send_local_response" => {
                let status = self.number(0);
                self.caller.data_mut().replied = Some(status);
                Ok(OK)
            }
            "proxy_continue_stream" => {
                self.caller.data_mut().resumed = true;
                Ok(OK)
            }
            "proxy_set_effective_context"
            | "proxy_set_property"
            | "proxy_record_metric"
            | "proxy_set_tick_period_milliseconds"
            | "proxy_done" => Ok(OK),
            "proxy_http_call" => {
                self.caller.data_mut().calls += 1;
                self.write(9, &self.caller.data().calls.to_le_bytes())
            }
            "proxy_define_metric" => {
                self.caller.data_mut().metrics.push(0);
                let id = u32::try_from(self.caller.data().metrics.len()).expect("few metrics");
                self.write(3, &id.to_le_bytes())
            }
            "proxy_increment_metric" => self.metric(|metric, offset| *metric += offset),
            "proxy_get_metric" => {
                let value = self.number(0).checked_sub(1).and_then(|index| {
                    self.caller.data().metrics.get(usize::try_from(index).expect("few metrics")).copied()
                });
                value.map_or(Ok(NOT_FOUND), |value| self.write(1, &value.to_le_bytes()))
            }
            "proxy_register_shared_queue" => {
                self.caller.data_mut().queues += 1;
                self.write(2, &self.caller.data().queues.to_le_bytes())
            }
            "proxy_enqueue_shared_queue" => Ok(OK),
            "proxy_dequeue_shared_queue" => Ok(EMPTY),
            "proxy_get_shared_data" => {
                let key = self.bytes(0)?;
                match self.caller.data().shared.get(&key).cloned() {
                    Some((value, cas)) => {
                        self.write(4, &cas.to_le_bytes())?;
                        self.write_allocated(&value, 2)
                    }
                    None => Ok(NOT_FOUND),
                }
            }
            "proxy_set_shared_data" => {
                let (key, value, expected) = (self.bytes(0)?, self.bytes(2)?, self.number(4));
                // Under a name that was never set, any version is accepted, as in Envoy.
                let current = self.caller.data().shared.get(&key).map(|(_, cas)| *cas);
                if current.is_some_and(|current| expected != 0 && expected != current) {
                    return Ok(CAS_MISMATCH);
                }
                self.caller.data_mut().shared.insert(key, (value, current.unwrap_or(0) + 1));
                Ok(OK)
            }
            // The seeds of hash maps, the same in every run.
            "random_get" => {
                let size = usize::try_from(self.number(1)).expect("an address space of 32 bits");
                self.write(0, &vec![0x5a; size])
            }
            "environ_sizes_get" => {
                self.write(0, &[0; 4])?;
                self.write(1, &[0; 4])
            }
            "environ_get" => Ok(OK),
            other => Err(Error::new(format!("the host of tests/counts does not implement {other}; add it in host.rs"))),
        }
    }

    fn number(&self, index: usize) -> u32 {
        self.arguments[index].i32().expect("the argument is a 32-bit number").cast_unsigned()
    }

    fn memory(&self) -> Memory {
        self.caller.get_export("memory").and_then(Extern::into_memory).expect("the module has a memory")
    }

    /// The bytes at the address in this argument; the next argument is their number.
    fn bytes(&self, index: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; self.number(index + 1) as usize];
        self.memory().read(&*self.caller, self.number(index) as usize, &mut bytes).map_err(outside)?;
        Ok(bytes)
    }

    /// Writes bytes to the address in this argument.
    fn write(&mut self, index: usize, bytes: &[u8]) -> Result<u32, Error> {
        let at = self.number(index) as usize;
        self.memory().write(&mut *self.caller, at, bytes).map_err(outside)?;
        Ok(OK)
    }

    /// Copies bytes into memory that the module allocates. Their address and number are written to the addresses in this
    /// argument and the next one.
    fn write_allocated(&mut self, bytes: &[u8], index: usize) -> Result<u32, Error> {
        let size = u32::try_from(bytes.len()).expect("an address space of 32 bits");
        let mut data = 0;
        if size > 0 {
            let allocate = self.caller.get_export("proxy_on_memory_allocate").and_then(Extern::into_func);
            let allocate = allocate.expect("the module has an allocator").typed::<u32, u32>(&*self.caller)?;
            data = allocate.call(&mut *self.caller, size)?;
            self.memory().write(&mut *self.caller, data as usize, bytes).map_err(outside)?;
        }
        self.write(index, &data.to_le_bytes())?;
        self.write(index + 1, &size.to_le_bytes())
    }

    /// Changes the header map whose number is the first argument.
    fn map(&mut self, change: impl FnOnce(&mut Headers)) -> Result<u32, Error> {
        let map = self.number(0);
        change(self.caller.data_mut().maps.entry(map).or_default());
        Ok(OK)
    }

    /// Changes the metric whose id is the first argument; the second is the offset.
    fn metric(&mut self, change: impl FnOnce(&mut i64, i64)) -> Result<u32, Error> {
        let offset = self.arguments[1].i64().expect("the offset is a 64-bit number");
        let index = (self.number(0) as usize).wrapping_sub(1);
        let Some(metric) = self.caller.data_mut().metrics.get_mut(index) else { return Ok(NOT_FOUND) };
        change(metric, offset);
        Ok(OK)
    }
}

fn outside(error: wasmi::errors::MemoryError) -> Error {
    Error::new(format!("the module accesses memory out of bounds: {error}"))
}

/// Encodes a map: the count, the lengths of every pair, then names and values, each followed by a zero byte.
fn serialized(headers: &Headers) -> Vec<u8> {
    let word = |number: usize| u32::try_from(number).expect("headers are small").to_le_bytes();
    let mut bytes = word(headers.len()).to_vec();
    for (name, value) in headers {
        bytes.extend([word(name.len()), word(value.len())].concat());
    }
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(text.bytes().chain([0]));
    }
    bytes
}
