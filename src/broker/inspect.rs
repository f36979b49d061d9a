//! What `--check` sees of a server: one line for each thing, and nothing is published or made.

use std::sync::Arc;
use std::time::Duration;

use super::api::Api;
use super::auth::describe_login;
use super::capture::Capture;
use super::client::{Generation, LastHeaders, Lost};
use super::link::{Link, Sight};
use super::unique::unique_token;
use super::{Common, Stop};
use crate::error::{Error, Kind};
use crate::route::headers::Stamp;
use crate::route::origin::Origin;
use crate::settings::{DeliveryKind, Settings};

/// How long the server may take to say that a subject is denied.
const DENIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks at the first server that can be reached, and at where the messages of these streams would go. `tell` gets
/// the name of each thing and what is to be said of it.
///
/// Fails as a run would that cannot publish.
pub(crate) fn inspect(
    settings: &Settings,
    origins: &[Arc<Origin>],
    tell: &mut dyn FnMut(&str, &str) -> Result<(), Error>,
) -> Result<(), Error> {
    let Sight {
        address,
        login,
        tls,
        connect_time,
        round_trip,
        generation,
    } = Link::new(settings)?.look()?;
    let info = generation.info();
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    let encrypted = tls.map_or("not encrypted".to_owned(), |version| {
        version.replace('_', ".")
    });
    tell(
        "connection",
        &format!("{address} in {:.1} ms, {encrypted}", millis(connect_time)),
    )?;
    let cluster = info.cluster.as_deref().unwrap_or("none");
    let (name, version) = (info.name(), &info.version);
    tell(
        "server",
        &format!("{name}, nats-server {version}, cluster {cluster}"),
    )?;
    tell("login", &format!("{}, accepted", describe_login(&login)))?;
    let max_payload_bytes = generation.limits().max_payload_bytes;
    tell("max payload", &format!("{max_payload_bytes} bytes"))?;
    tell(
        "latency",
        &format!("{:.2} ms, one round trip", millis(round_trip)),
    )?;
    tell("JetStream", if info.jetstream { "yes" } else { "no" })?;
    let delivery = match settings.delivery {
        DeliveryKind::Auto => "auto: JetStream where it captures a subject, else core",
        DeliveryKind::Core => "core, confirmed by PONG",
        DeliveryKind::JetStream => "jetstream, confirmed by acknowledgements",
        DeliveryKind::Kv => "kv, confirmed by acknowledgements",
    };
    tell("delivery", delivery)?;
    let run_end = crossbeam_channel::never();
    let api = Api::new(&generation, settings, &run_end);
    let mut capture = Capture::new(Arc::new(Common::looking(settings)));
    let place = capture.describe_place(&api).map_err(unwrap)?;
    if let Some(place) = place {
        tell("target", &place)?;
    }
    for origin in origins {
        let way = capture.describe_origin(origin, &api).map_err(unwrap)?;
        let (stream, subject) = (&origin.stream, &origin.filter);
        let allowed = ask_permission(&generation, settings, subject)?;
        tell(
            "subject",
            &format!("'{subject}' of '{stream}': {way}; {allowed}"),
        )?;
    }
    Ok(())
}

fn unwrap(stop: Stop) -> Error {
    match stop {
        Stop::Failed(error) => error,
        Stop::Refused(reason) => Error::new(Kind::Refused, reason),
        Stop::Lost => Error::new(Kind::Unavailable, "the connection to NATS is lost"),
    }
}

/// Whether a subject may be published to. A message that is only traced, and neither delivered nor stored, finds
/// out (nats-server 2.11; spec nats.md, 1f).
fn ask_permission(
    generation: &Generation,
    settings: &Settings,
    subject: &str,
) -> Result<&'static str, Error> {
    if subject.split('.').any(|token| token == "*") {
        return Ok("whether it may be published to depends on the records");
    }
    let info = generation.info();
    if !info.is_at_least(2, 11) || !info.headers {
        return Ok("whether it may be published to is not known before a message is");
    }
    let trace = format!("{}.{}", settings.inbox_prefix, unique_token());
    let mut stamp = Stamp::new();
    let lines = [("Nats-Trace-Dest", &*trace), ("Nats-Trace-Only", "true")];
    let headers = stamp.headers(None, &lines);
    let mut last = LastHeaders::default();
    let (denied, denials) = crossbeam_channel::unbounded();
    generation.allow_denial(subject, denied.clone());
    let (flushed, pongs) = crossbeam_channel::unbounded();
    let published = generation.publish(subject, None, Some((headers, &mut last)), b"");
    generation.flush(0, flushed);
    // The denial comes before the PONG.
    let answer = pongs.recv_timeout(DENIAL_TIMEOUT);
    generation.require(subject, &denied);
    if denials.try_recv().is_ok() {
        let what = format!("the NATS server does not let us publish to '{subject}'");
        return Err(Error::new(Kind::Refused, what).cause("permissions violation"));
    }
    match (published, answer) {
        (Ok(()), Ok(_)) => Ok("may be published to"),
        (Err(Lost), _) | (_, Err(_)) => Err(unwrap(Stop::Lost)),
    }
}
