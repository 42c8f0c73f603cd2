//! Opening connections, as ureq does it, but for who waits for it: see [`Cancel::unless`].

use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, Either, RustlsConnector, TcpConnector,
    Transport,
};

use crate::Cancel;
use crate::resolve::Names;

/// What opens connections: through a proxy of the environment or straight, with TLS where the
/// scheme wants it.
pub(crate) fn connector(cancel: &Cancel) -> impl Connector<()> {
    ().chain(ConnectProxyConnector::default())
        .chain(Dial(cancel.clone()))
        .chain(RustlsConnector::default())
}

/// [`TcpConnector`] on a thread of its own.
#[derive(Debug)]
struct Dial(Cancel);

impl<In: Transport> Connector<In> for Dial {
    type Out = Either<In, <TcpConnector as Connector<()>>::Out>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        if let Some(proxied) = chained {
            return Ok(Some(Either::A(proxied)));
        }
        let (uri, config) = (details.uri.clone(), details.config.clone());
        let (addrs, now, timeout) = (details.addrs.clone(), details.now, details.timeout);
        let request_level = details.request_level;
        let current_time = details.current_time.clone();
        let run_connector = details.run_connector.clone();
        let register_shutdown = details.register_shutdown.clone();
        let names = Names(self.0.clone());
        let connected = self.0.unless(move || {
            let details = ConnectionDetails {
                uri: &uri,
                addrs,
                config: &config,
                request_level,
                resolver: &names,
                now,
                timeout,
                current_time,
                run_connector,
                register_shutdown,
            };
            TcpConnector::default().connect(&details, None::<()>)
        })?;
        Ok(connected?.map(Either::B))
    }
}
