//! Names in the place of ids. What looks like an id is one; what is the name of several is none of them.

use serde_json::Value;
use things_client::Request;
use uuid::Uuid;

use super::{
    Failure,
    asked::{Asked, text},
};

/// More candidates than this are not told.
const TOLD: usize = 10;

impl Asked<'_> {
    /// The organisation by `--org`, if it is given.
    pub(super) async fn org(&self) -> Result<Option<String>, Failure> {
        match self.given.text("org") {
            Some(name) => self.org_named(name).await.map(Some),
            None => Ok(None),
        }
    }

    pub(super) async fn org_named(&self, name: &str) -> Result<String, Failure> {
        self.find("organisation", name, self.client.get("/orgs"), "orgs").await
    }

    /// The group by `--group`, of the organisation by `--org` if that is given too.
    pub(super) async fn group(&self) -> Result<Option<String>, Failure> {
        match self.given.text("group") {
            Some(name) => self.group_named(name).await.map(Some),
            None => Ok(None),
        }
    }

    pub(super) async fn group_named(&self, name: &str) -> Result<String, Failure> {
        if is_id(name) {
            return Ok(name.to_owned());
        }
        let path = self.within(&[]).await?;
        self.find("group", name, self.client.get(&format!("{path}/groups")), "groups").await
    }

    /// The profile by `--profile`, of the group or organisation that is given too.
    pub(super) async fn profile(&self) -> Result<Option<String>, Failure> {
        match self.given.text("profile") {
            Some(name) => self.profile_named(name).await.map(Some),
            None => Ok(None),
        }
    }

    pub(super) async fn profile_named(&self, name: &str) -> Result<String, Failure> {
        if is_id(name) {
            return Ok(name.to_owned());
        }
        let path = self.within(&["group"]).await?;
        self.find("profile", name, self.client.get(&format!("{path}/profiles")), "profiles").await
    }

    pub(super) async fn profile_in(&self, group: &str, name: &str) -> Result<String, Failure> {
        self.find("profile", name, self.client.get(&format!("/groups/{group}/profiles")), "profiles").await
    }

    pub(super) async fn thing_named(&self, name: &str) -> Result<String, Failure> {
        if is_id(name) {
            return Ok(name.to_owned());
        }
        let path = self.within(&["group", "profile"]).await?;
        self.find("thing", name, self.client.get(&format!("{path}/things")), "things").await
    }

    /// Ids of several, all or none.
    pub(super) async fn things_named(&self, names: &[&str]) -> Result<Vec<String>, Failure> {
        let mut ids = Vec::new();
        for name in names {
            ids.push(self.thing_named(name).await?);
        }
        Ok(ids)
    }

    /// The path below which things of the narrowest place that is given are listed.
    pub(super) async fn within(&self, kinds: &[&str]) -> Result<String, Failure> {
        if kinds.contains(&"profile")
            && let Some(profile) = Box::pin(self.profile()).await?
        {
            return Ok(format!("/profiles/{profile}"));
        }
        if kinds.contains(&"group")
            && let Some(name) = self.given.text("group")
        {
            let group = Box::pin(self.group_named(name)).await?;
            return Ok(format!("/groups/{group}"));
        }
        Ok(self.org().await?.map_or_else(String::new, |org| format!("/orgs/{org}")))
    }

    /// Somebody by e-mail address or id, among the members of a place.
    pub(super) async fn member_named(
        &self,
        place: &str,
        items: &'static str,
        who: &str,
    ) -> Result<String, Failure> {
        if is_id(who) {
            return Ok(who.to_owned());
        }
        let request =
            self.client.get(&format!("{place}/memberships")).query("email", who).query("limit", "1000");
        let what = format!("look for {who}");
        let failed = |error| Failure::asking(&what, &error);
        let found: Vec<Value> = request.pages(items).collect(10_000).await.map_err(failed)?;
        let mut found = found.iter().filter(|member| text(member, "email").eq_ignore_ascii_case(who));
        match found.next() {
            Some(member) => Ok(text(member, "member_id").to_owned()),
            None => Err(Failure::not_found(format!(
                "no member has the address {who}\n  `things member list` shows who is there"
            ))),
        }
    }

    async fn find(
        &self,
        noun: &str,
        name: &str,
        list: Request,
        items: &'static str,
    ) -> Result<String, Failure> {
        if is_id(name) {
            return Ok(name.to_owned());
        }
        if name.is_empty() {
            return Err(Failure::Usage(format!("the {noun}'s name is empty")));
        }
        let what = format!("look for the {noun} {name}");
        // The server's list has all names that contain this one, in any case. In its order those that are this one stand
        // together, so that no more is read behind them.
        let request =
            list.query("name", name).query("order", "name").query("dir", "asc").query("limit", "1000");
        let folded = name.to_ascii_lowercase();
        let failed = |error| Failure::asking(&what, &error);
        let mut pages = request.pages(items);
        let mut found: Vec<Value> = Vec::new();
        while let Some(page) = pages.next::<Value>().await.map_err(failed)? {
            let past = page.items.last().is_some_and(|last| text(last, "name").to_ascii_lowercase() > folded);
            found.extend(page.items.into_iter().filter(|item| text(item, "name") == name));
            if past || found.len() > TOLD {
                break;
            }
        }
        match found.as_slice() {
            [one] => Ok(text(one, "id").to_owned()),
            [] => Err(Failure::not_found(format!(
                "there is no {noun} named {name}, or it is not yours to see\n  `things {} list` shows what there is",
                if noun == "organisation" { "org" } else { noun }
            ))),
            several => {
                let mut told = format!("several are named {name}; say which by its id");
                for item in several.iter().take(TOLD) {
                    let place = ["group_id", "org_id"]
                        .iter()
                        .find_map(|place| item.get(*place).and_then(Value::as_str));
                    let place = place.map(|id| format!("  in {id}")).unwrap_or_default();
                    told.push_str(&format!("\n  {}{place}", text(item, "id")));
                }
                told.push_str("\n  or say where, by --org and --group");
                Err(Failure::Usage(super::inert::lines(&told)))
            }
        }
    }
}

/// Whether it is taken for an id: the one spelling that ids have, in lower case. Anything else may be a name.
pub(super) fn is_id(text: &str) -> bool {
    Uuid::parse_str(text).is_ok_and(|id| id.hyphenated().to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling() {
        assert!(is_id("0190c8a0-0000-7000-8000-00000000abcd"));
        for name in [
            "0190C8A0-0000-7000-8000-00000000ABCD",
            "0190c8a0000070008000000000000001",
            "../things/1",
            "pump",
            "",
        ] {
            assert!(!is_id(name), "{name}");
        }
    }
}
