//! A real OTLP receiver, and what Prometheus would read.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    transport::{Server, ServerTlsConfig},
};

use crate::wait::eventually;

/// Takes what is exported, by gRPC on a free port.
#[derive(Clone, Default)]
pub struct Receiver {
    /// `http://…`
    pub endpoint: String,
    spans: Arc<Mutex<Vec<Received>>>,
    metrics: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
}

/// A span, and of which service it is.
#[derive(Clone, Debug)]
pub struct Received {
    /// `service.name` of its resource.
    pub service: String,
    /// The span.
    pub span: Span,
}

impl Received {
    /// An attribute as text.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<String> {
        attribute(&self.span.attributes, key)
    }
}

impl Receiver {
    /// Starts it.
    pub async fn start() -> Self {
        Self::serve("http", Server::builder()).await
    }

    /// Starts it with TLS, for clients that have a certificate too.
    ///
    /// # Panics
    /// When the certificates cannot be used.
    pub async fn start_with_tls(tls: ServerTlsConfig) -> Self {
        let server = Server::builder().tls_config(tls);
        Self::serve("https", server.expect("certificates")).await
    }

    async fn serve(scheme: &str, mut server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let host = match scheme {
            "https" => "localhost",
            _ => "127.0.0.1",
        };
        let receiver = Self {
            endpoint: format!("{scheme}://{host}:{port}"),
            ..Self::default()
        };
        let server = server
            .add_service(TraceServiceServer::new(receiver.clone()))
            .add_service(MetricsServiceServer::new(receiver.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        receiver
    }

    /// All spans so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Received> {
        self.spans.lock().expect("whole").clone()
    }

    /// The spans of a trace, when it has `count`.
    pub async fn trace(&self, trace_id: u128, count: usize) -> Vec<Received> {
        let id = trace_id.to_be_bytes();
        let of_trace = || {
            self.spans()
                .into_iter()
                .filter(|received| received.span.trace_id == id)
                .collect::<Vec<_>>()
        };
        let mut spans = eventually("the trace to be received", async || {
            let spans = of_trace();
            (spans.len() >= count).then_some(spans)
        })
        .await;
        spans.sort_by_key(|received| received.span.start_time_unix_nano);
        spans
    }

    /// The names of the metrics that were received.
    #[must_use]
    pub fn metric_names(&self) -> Vec<String> {
        let requests = self.metrics.lock().expect("whole");
        let scopes = requests
            .iter()
            .flat_map(|request| &request.resource_metrics)
            .flat_map(|of| &of.scope_metrics);
        scopes
            .flat_map(|scope| &scope.metrics)
            .map(|metric| metric.name.clone())
            .collect()
    }

    /// All that was received, as text.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "{:?}\n{:?}",
            self.spans(),
            self.metrics.lock().expect("whole")
        )
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for of in request.into_inner().resource_spans {
            let resource = of.resource.unwrap_or_default();
            let service = attribute(&resource.attributes, "service.name").unwrap_or_default();
            let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let received = spans.map(|span| Received {
                service: service.clone(),
                span,
            });
            self.spans.lock().expect("whole").extend(received);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.metrics
            .lock()
            .expect("whole")
            .push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}

/// What `/metrics` says.
pub struct Scraped(String);

impl Scraped {
    /// Reads it.
    pub async fn of(http: SocketAddr) -> Self {
        Self(crate::serve::get(http, "/metrics").await)
    }

    /// The text that a registry of this process gives.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn registry(registry: &prometheus::Registry) -> Self {
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather());
        Self(text.expect("text"))
    }

    /// The names and types of all metrics.
    pub fn types(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The sum of the series of this name that have all of these labels; none when there is none.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{value}\""))
            .collect();
        let series = self.0.lines().filter(|line| {
            let rest = line
                .strip_prefix(name)
                .filter(|rest| rest.starts_with(['{', ' ']));
            rest.is_some_and(|rest| labels.iter().all(|label| rest.contains(label)))
        });
        let values: Vec<f64> = series
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }
}
