//! The standard health service, from the same look as `/health`: whether requests can be answered.

use std::{pin::Pin, time::Duration};

use tokio::sync::mpsc;
use tonic::{
    Request, Response, Status,
    codegen::tokio_stream::{Stream, wrappers::ReceiverStream},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server::Health,
};

use super::{METHODS, Watchers};
use crate::{App, serve::Stopping};

/// How often a watcher's answer is looked at again, and told: a connection on which nothing is said ends.
const LOOK: Duration = Duration::from_secs(1);

/// The service.
#[derive(Clone)]
pub(super) struct Probe {
    app: App,
    stopping: Stopping,
    watchers: Watchers,
}

impl Probe {
    pub(super) fn new(app: App, stopping: Stopping, watchers: Watchers) -> Self {
        Self { app, stopping, watchers }
    }

    async fn status(&self) -> ServingStatus {
        let report = self
            .app
            .health
            .report(&self.app.registry, self.app.options.data_dir.as_deref(), &self.app.backups)
            .await;
        if report.is_ready() { ServingStatus::Serving } else { ServingStatus::NotServing }
    }
}

/// The server as a whole, by no name, or one of its services.
fn is_known(service: &str) -> bool {
    let of = |method: &str| method.trim_start_matches('/').split('/').next() == Some(service);
    service.is_empty() || METHODS.iter().any(|method| of(method))
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for Probe {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !is_known(&request.get_ref().service) {
            return Err(Status::not_found("there is no such service here"));
        }
        Ok(Response::new(answer(self.status().await)))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let permit = self.watchers.admit()?;
        let known = is_known(&request.get_ref().service);
        let (send, receive) = mpsc::channel(1);
        let mut probe = self.clone();
        tokio::spawn(async move {
            let _permit = permit;
            loop {
                let status = if known { probe.status().await } else { ServingStatus::ServiceUnknown };
                if send.send(Ok(answer(status))).await.is_err() {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = send.closed() => return,
                    () = probe.stopping.wait() => break,
                }
            }
            let _ = send.send(Ok(answer(ServingStatus::NotServing))).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }
}
