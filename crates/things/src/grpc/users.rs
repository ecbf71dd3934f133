//! `protomfx.UsersService`: accounts, for Mainflux's other services.

use registry::{UserId, text::Email, trusted::Known};
use tonic::{Request, Response, Status};

use super::{
    id,
    protomfx::{self as wire, users_service_server::UsersService},
    status::told,
};
use crate::App;

/// The service.
pub(super) struct Users(pub(super) App);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl UsersService for Users {
    async fn get_users_by_i_ds(&self, request: Request<wire::UsersByIDsReq>) -> Answer<wire::UsersRes> {
        let asked = request.into_inner();
        let ids: Vec<UserId> = asked.ids.iter().map(|text| id("ids", text)).collect::<Result<_, _>>()?;
        let page = asked.page_metadata.unwrap_or_default();
        let mut found = self.0.registry.users_by_ids(&ids).await.map_err(told)?;
        let wanted = page.email.to_ascii_lowercase();
        found.retain(|known| known.email.as_str().to_ascii_lowercase().contains(&wanted));
        match page.order.as_str() {
            "" | "id" => {}
            "email" => found.sort_by(|one, other| one.email.as_str().cmp(other.email.as_str())),
            _ => return Err(Status::invalid_argument("order: must be `id` or `email`")),
        }
        match page.dir.as_str() {
            "" | "asc" => {}
            "desc" => found.reverse(),
            _ => return Err(Status::invalid_argument("dir: must be `asc` or `desc`")),
        }
        let total = found.len() as u64;
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let most = if page.limit == 0 { usize::MAX } else { size(page.limit) };
        let users = found.into_iter().skip(size(page.offset)).take(most).map(user).collect();
        Ok(Response::new(wire::UsersRes { users, page_metadata: Some(wire::PageMetadata { total, ..page }) }))
    }

    async fn get_users_by_emails(&self, request: Request<wire::UsersByEmailsReq>) -> Answer<wire::UsersRes> {
        // What is no address is nobody's.
        let emails: Vec<Email> = request
            .get_ref()
            .emails
            .iter()
            .map(|text| Email::try_from(text.as_str()))
            .collect::<Result<_, _>>()
            .map_err(|_| told(registry::Error::NotFound))?;
        let users: Vec<wire::User> =
            self.0.registry.users_by_emails(&emails).await.map_err(told)?.into_iter().map(user).collect();
        let total = users.len() as u64;
        Ok(Response::new(wire::UsersRes {
            users,
            page_metadata: Some(wire::PageMetadata { total, ..Default::default() }),
        }))
    }
}

/// Only enabled ones are told of.
fn user(known: Known) -> wire::User {
    wire::User {
        id: known.id.to_string(),
        email: known.email.as_str().to_owned(),
        status: registry::UserStatus::Enabled.as_str().to_owned(),
    }
}
