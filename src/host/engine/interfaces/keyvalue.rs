//! `wasi:keyvalue`: what a component keeps in buckets that it may open. All that goes wrong the component is told, but for the number of
//! writes within one call, which stops it.

use crate::host::engine::call::Limit;
use crate::host::engine::state::State;
use crate::host::keyvalue::{self, Store};
use std::sync::Arc;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, ResourceType};
use wasmtime_wasi::WasiView as _;

/// In which it is given.
pub(super) const VERSIONS: &[&str] = &["0.2.0-draft"];

/// Keys of one batch.
const BATCH_MAX: usize = 256;

/// An open bucket. Instances live for one call, and buckets no longer.
struct Bucket {
    name: Arc<str>,
    store: Arc<Store>,
}

#[derive(Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

#[derive(Debug, ComponentType, Lower)]
#[component(record)]
struct KeyResponse {
    keys: Vec<String>,
    cursor: Option<u64>,
}

impl From<keyvalue::Error> for Error {
    fn from(error: keyvalue::Error) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<String> for Error {
    fn from(why: String) -> Self {
        Self::Other(why)
    }
}

type Context<'a> = StoreContextMut<'a, State>;
type Handle = Resource<Bucket>;
/// What the component sees, within what stops it.
type Told<T> = wasmtime::Result<(Result<T, Error>,)>;
type Found = Option<(String, Vec<u8>)>;

pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    for version in VERSIONS {
        add_store(linker, version)?;
        add_atomics(linker, version)?;
        add_batch(linker, version)?;
    }
    Ok(())
}

fn add_store(linker: &mut Linker<State>, version: &str) -> wasmtime::Result<()> {
    let mut store = linker.instance(&format!("wasi:keyvalue/store@{version}"))?;
    store.resource("bucket", ResourceType::host::<Bucket>(), |mut context: Context<'_>, handle| {
        context.data_mut().ctx().table.delete(Handle::new_own(handle))?;
        Ok(())
    })?;
    store.func_wrap("open", |mut context: Context<'_>, (identifier,): (String,)| -> Told<Handle> {
        match open(context.data(), &identifier) {
            Ok(bucket) => Ok((Ok(context.data_mut().ctx().table.push(bucket)?),)),
            Err(error) => Ok((Err(error),)),
        }
    })?;
    store.func_wrap("[method]bucket.get", |mut context: Context<'_>, (bucket, key): (Handle, String)| {
        read(context.data_mut(), &bucket, |bucket| Ok(bucket.store.get(&bucket.name, &key)?))
    })?;
    store.func_wrap(
        "[method]bucket.set",
        |mut context: Context<'_>, (bucket, key, value): (Handle, String, Vec<u8>)| {
            write(context.data_mut(), &bucket, |bucket| bucket.store.set(&bucket.name, &key, value))
        },
    )?;
    store.func_wrap("[method]bucket.delete", |mut context: Context<'_>, (bucket, key): (Handle, String)| {
        write(context.data_mut(), &bucket, |bucket| bucket.store.delete(&bucket.name, &key))
    })?;
    store.func_wrap("[method]bucket.exists", |mut context: Context<'_>, (bucket, key): (Handle, String)| {
        read(context.data_mut(), &bucket, |bucket| Ok(bucket.store.exists(&bucket.name, &key)?))
    })?;
    store.func_wrap("[method]bucket.list-keys", |mut context: Context<'_>, (bucket, after): (Handle, Option<u64>)| {
        let live = context.data().live.clone();
        read(context.data_mut(), &bucket, |bucket| {
            live.data.pace.list(live.env.now())?;
            let (keys, cursor) = bucket.store.keys(&bucket.name, after)?;
            Ok(KeyResponse { keys, cursor })
        })
    })
}

fn add_atomics(linker: &mut Linker<State>, version: &str) -> wasmtime::Result<()> {
    linker.instance(&format!("wasi:keyvalue/atomics@{version}"))?.func_wrap(
        "increment",
        |mut context: Context<'_>, (bucket, key, delta): (Handle, String, u64)| {
            write(context.data_mut(), &bucket, |bucket| bucket.store.increment(&bucket.name, &key, delta))
        },
    )
}

fn add_batch(linker: &mut Linker<State>, version: &str) -> wasmtime::Result<()> {
    let mut batch = linker.instance(&format!("wasi:keyvalue/batch@{version}"))?;
    batch.func_wrap("get-many", |mut context: Context<'_>, (bucket, keys): (Handle, Vec<String>)| {
        let bytes_max = context.data().live.bounds.transfer_bytes_max;
        read(context.data_mut(), &bucket, |bucket| get_many(bucket, keys, bytes_max))
    })?;
    batch.func_wrap("set-many", |mut context: Context<'_>, (bucket, pairs): (Handle, Vec<(String, Vec<u8>)>)| {
        write_many(context.data_mut(), &bucket, pairs, |bucket, (key, value)| {
            bucket.store.set(&bucket.name, &key, value)
        })
    })?;
    batch.func_wrap("delete-many", |mut context: Context<'_>, (bucket, keys): (Handle, Vec<String>)| {
        write_many(context.data_mut(), &bucket, keys, |bucket, key| bucket.store.delete(&bucket.name, &key))
    })
}

fn open(state: &State, identifier: &str) -> Result<Bucket, Error> {
    let data = &state.live.data;
    let name = data.buckets.of(identifier).ok_or(Error::AccessDenied)?;
    let store = data.store.clone().ok_or(Error::NoSuchStore)?;
    Store::check(name)?;
    Ok(Bucket { name: name.into(), store })
}

fn read<T>(state: &mut State, bucket: &Handle, look: impl FnOnce(&Bucket) -> Result<T, Error>) -> Told<T> {
    Ok((look(state.ctx().table.get(bucket)?),))
}

fn write<T>(state: &mut State, bucket: &Handle, change: impl FnOnce(&Bucket) -> Result<T, keyvalue::Error>) -> Told<T> {
    if let Err(why) = may_write(state)? {
        return Ok((Err(why.into()),));
    }
    Ok((change(state.ctx().table.get(bucket)?).map_err(Error::from),))
}

/// Stops at the first that fails; those before it are written.
fn write_many<T>(
    state: &mut State,
    bucket: &Handle,
    all: Vec<T>,
    change: impl Fn(&Bucket, T) -> Result<(), keyvalue::Error>,
) -> Told<()> {
    if let Err(error) = check_batch(all.len()) {
        return Ok((Err(error),));
    }
    for one in all {
        if let (Err(error),) = write(state, bucket, |bucket| change(bucket, one))? {
            return Ok((Err(error),));
        }
    }
    Ok((Ok(()),))
}

/// Counts a write of the call in hand, and of the component.
fn may_write(state: &mut State) -> Result<Result<(), String>, Limit> {
    state.limiter.write()?;
    Ok(state.live.data.pace.write(state.live.env.now()))
}

fn get_many(bucket: &Bucket, keys: Vec<String>, bytes_max: usize) -> Result<Vec<Found>, Error> {
    check_batch(keys.len())?;
    let (mut all, mut bytes) = (Vec::with_capacity(keys.len()), 0);
    for key in keys {
        let value = bucket.store.get(&bucket.name, &key)?;
        bytes += value.as_ref().map_or(0, Vec::len);
        if bytes > bytes_max {
            return Err(Error::Other(format!("values of more than {bytes_max} bytes in one batch: ask for fewer")));
        }
        all.push(value.map(|value| (key, value)));
    }
    Ok(all)
}

fn check_batch(len: usize) -> Result<(), Error> {
    if len <= BATCH_MAX {
        return Ok(());
    }
    Err(Error::Other(format!("a batch of {len} keys: at most {BATCH_MAX} are accepted")))
}
