//! Requests in the registry's words, and its answers in the model's.

use std::time::Duration;

use registry::{
    Call, CreatedToken, Member, MemberRef, NewMember, NewOrg, NewToken, Org, OrgUpdate, RoleChange, Secret,
    TokenId, UserId,
    groups::{Group, GroupUpdate, NewGroup},
    profiles::{NewProfile, Profile, ProfileConfig, ProfileUpdate},
    text::{Description, GroupName, OrgName, ProfileName, ThingName, TokenName},
    things::{CreatedThing, Thing, ThingUpdate},
};
use serde_json::{Value, json};

use super::{
    commands::{Key, New, NewThing, Object, Op, Place, Who},
    reference::{Answer, Outcome, SECOND, Step, show},
    side::{Side, group, json_of, number, org, profile, refusal, shown_within, thing, uuid, within},
};

impl Side {
    /// Asks the registry.
    pub async fn perform(&mut self, call: &Call, op: &Op, step: &Step) -> Outcome {
        let expect = &self.expect(&step.wanted);
        let keys = step.outcome.as_ref().map(|answer| answer.keys.clone()).unwrap_or_default();
        let registry = self.registry.clone();
        match op {
            Op::CreateOrg { id, name, metadata } => {
                let new = NewOrg {
                    id: Some(org(*id)),
                    name: OrgName::try_from(*name).unwrap(),
                    description: Description::default(),
                    metadata: json_of(metadata),
                };
                one(registry.create_org(call, &new).await.map(|org| org_row(&org)))
            }
            Op::UpdateOrg { id, patch, .. } => {
                let update = OrgUpdate {
                    name: OrgName::try_from(patch.name).unwrap(),
                    description: patch.description.map(|text| Description::try_from(text).unwrap()),
                    metadata: patch.metadata.map(json_of),
                };
                one(registry.update_org(call, org(*id), &update, expect).await.map(|org| org_row(&org)))
            }
            Op::DeleteOrgs { ids, .. } => done(match ids.as_slice() {
                [id] => registry.delete_org(call, org(*id), expect).await,
                ids => registry.delete_orgs(call, &ids.iter().map(|id| org(*id)).collect::<Vec<_>>()).await,
            }),
            Op::AddMembers { place, members } => {
                let new: Vec<NewMember> = members.iter().map(|member| self.new_member(member)).collect();
                let added = match place {
                    Place::Org(id) => registry.add_org_members(call, org(*id), &new).await,
                    Place::Group(id) => registry.add_group_members(call, group(*id), &new).await,
                };
                self.members(added)
            }
            Op::ChangeRoles { place, changes } => {
                let changes: Vec<RoleChange> = changes
                    .iter()
                    .map(|(person, role)| RoleChange { member_id: self.user(*person), role: *role })
                    .collect();
                let changed = match place {
                    Place::Org(id) => registry.update_org_members(call, org(*id), &changes).await,
                    Place::Group(id) => registry.update_group_members(call, group(*id), &changes).await,
                };
                self.members(changed)
            }
            Op::RemoveMembers { place, people } => {
                let ids: Vec<UserId> = people.iter().map(|person| self.user(*person)).collect();
                done(match place {
                    Place::Org(id) => registry.remove_org_members(call, org(*id), &ids).await,
                    Place::Group(id) => registry.remove_group_members(call, group(*id), &ids).await,
                })
            }
            Op::Transfer { place: Place::Org(id), to } => {
                done(registry.transfer_org(call, org(*id), self.user(*to)).await)
            }
            Op::Transfer { place: Place::Group(id), to } => {
                done(registry.transfer_group(call, group(*id), self.user(*to)).await)
            }
            Op::CreateGroups { org: id, groups } => {
                let groups: Vec<NewGroup> = groups.iter().map(new_group).collect();
                let made = registry.create_groups(call, org(*id), &groups).await;
                many(made.map(|made| made.iter().map(group_row).collect()))
            }
            Op::UpdateGroup { id, patch, .. } => {
                let update = GroupUpdate {
                    name: GroupName::try_from(patch.name).unwrap(),
                    description: patch.description.map(|text| Description::try_from(text).unwrap()),
                    metadata: patch.metadata.map(json_of),
                };
                let updated = registry.update_group(call, group(*id), &update, expect).await;
                one(updated.map(|group| group_row(&group)))
            }
            Op::DeleteGroups { ids, .. } => done(match ids.as_slice() {
                [id] => registry.delete_group(call, group(*id), expect).await,
                ids => {
                    registry.delete_groups(call, &ids.iter().map(|id| group(*id)).collect::<Vec<_>>()).await
                }
            }),
            Op::CreateProfiles { group: id, profiles } => {
                let profiles: Vec<NewProfile> = profiles.iter().map(new_profile).collect();
                let made = registry.create_profiles(call, group(*id), &profiles).await;
                many(made.map(|made| made.iter().map(profile_row).collect()))
            }
            Op::UpdateProfile { id, patch, config, .. } => {
                let update = ProfileUpdate {
                    name: ProfileName::try_from(patch.name).unwrap(),
                    config: config.map(|new| new.map(config_of)),
                    metadata: patch.metadata.map(json_of),
                };
                let updated = registry.update_profile(call, profile(*id), &update, expect).await;
                one(updated.map(|profile| profile_row(&profile)))
            }
            Op::DeleteProfiles { ids, .. } => {
                let ids: Vec<_> = ids.iter().map(|id| profile(*id)).collect();
                done(match ids.as_slice() {
                    [id] => registry.delete_profile(call, *id, expect).await,
                    ids => registry.delete_profiles(call, ids).await,
                })
            }
            Op::CreateThings { profile: id, things } => {
                let things: Vec<_> = things.iter().map(|new| self.new_thing(new)).collect();
                self.with_keys(registry.create_things(call, profile(*id), &things).await, &keys)
            }
            Op::UpdateThing { id, patch, kind, key, .. } => {
                let update = ThingUpdate {
                    name: ThingName::try_from(patch.name).unwrap(),
                    kind: *kind,
                    metadata: patch.metadata.map(json_of),
                    key: key.map(|key| self.thing_key(key)),
                };
                let updated = registry.update_thing(call, thing(*id), &update, expect).await;
                one(updated.map(|thing| self.thing_row(&thing)))
            }
            Op::MoveThing { id, group: to, profile: on, .. } => {
                let moved = registry.move_thing(call, thing(*id), group(*to), profile(*on), expect).await;
                one(moved.map(|thing| self.thing_row(&thing)))
            }
            Op::MergeMetadata { updates } => {
                let updates: Vec<_> =
                    updates.iter().map(|(id, metadata)| (thing(*id), json_of(metadata))).collect();
                let merged = registry.merge_metadata(call, &updates).await;
                many(merged.map(|things| things.iter().map(|thing| self.thing_row(thing)).collect()))
            }
            Op::DeleteThings { ids, .. } => done(match ids.as_slice() {
                [id] => registry.delete_thing(call, thing(*id), expect).await,
                ids => {
                    registry.delete_things(call, &ids.iter().map(|id| thing(*id)).collect::<Vec<_>>()).await
                }
            }),
            Op::RotateKey { id, overlap_seconds, .. } => {
                let overlap = Duration::from_secs(*overlap_seconds);
                let rotated = registry.rotate_key(call, thing(*id), overlap).await;
                self.with_keys(rotated.map(|thing| vec![thing]), &keys)
            }
            Op::SetExternalKey { id, key, .. } => {
                let key = self.external_key(*key);
                let set = registry.set_external_key(call, thing(*id), &key, expect).await;
                one(set.map(|thing| self.thing_row(&thing)))
            }
            Op::ClearExternalKey { id, .. } => {
                done(registry.clear_external_key(call, thing(*id), expect).await)
            }
            Op::RevealKey { id } => {
                let revealed = registry.reveal_key(call, thing(*id)).await;
                self.with_keys(revealed.map(|thing| vec![thing]), &keys)
            }
            Op::SetStatus { person, enabled: true } => {
                done(registry.enable_user(call, self.user(*person)).await)
            }
            Op::SetStatus { person, .. } => done(registry.disable_user(call, self.user(*person)).await),
            Op::CreateToken { token, can_write, within: place, life_seconds } => {
                let new = NewToken {
                    name: TokenName::try_from("token").unwrap(),
                    can_write: *can_write,
                    within: place.map(within),
                    expires_at: life_seconds.map(|life| {
                        let end = self.clock.now().millis() + life * SECOND;
                        registry::Timestamp::from_millis(end)
                    }),
                };
                let made = registry.create_token(call, &new).await;
                one(made.map(|made| {
                    self.remember_token(*token, &made);
                    self.token_row(&made.token)
                }))
            }
            Op::DeleteToken { token } => {
                let known = self.memory.tokens.get(token).and_then(|(id, _)| *id);
                let id = known.unwrap_or_else(|| TokenId::from(uuid(999_999)));
                done(registry.delete_token(call, id, &registry::Expect::any()).await)
            }
            Op::LogOut => done(registry.end_session(call).await),
            Op::View { object } => self.view(call, *object, &keys).await,
            Op::ViewAround { thing: id, group: true } => {
                one(registry.view_group_of_thing(call, thing(*id)).await.map(|group| group_row(&group)))
            }
            Op::ViewAround { thing: id, .. } => {
                let found = registry.view_profile_of_thing(call, thing(*id)).await;
                one(found.map(|profile| profile_row(&profile)))
            }
            Op::List(list) => self.list(call, list).await,
            Op::Invites(op) => self.perform_invites(call, op).await,
        }
    }

    /// One object as the caller sees it.
    pub async fn view(&mut self, call: &Call, object: Object, keys: &[Option<Key>]) -> Outcome {
        let registry = self.registry.clone();
        match object {
            Object::Org(id) => one(registry.view_org(call, org(id)).await.map(|org| org_row(&org))),
            Object::Group(id) => {
                one(registry.view_group(call, group(id)).await.map(|group| group_row(&group)))
            }
            Object::Profile(id) => {
                one(registry.view_profile(call, profile(id)).await.map(|profile| profile_row(&profile)))
            }
            Object::Thing(id) => {
                let seen = registry.view_thing(call, thing(id)).await;
                self.with_keys(seen.map(|thing| vec![thing]), keys)
            }
        }
    }

    fn new_member(&self, (who, role): &(Who, registry::Role)) -> NewMember {
        let who = match who {
            Who::Id(person) => MemberRef::Id(self.user(*person)),
            Who::Email(person) => MemberRef::Email(self.email(*person)),
        };
        NewMember { who, role: *role }
    }

    fn members(&self, members: registry::Result<Vec<Member>>) -> Outcome {
        many(members.map(|members| members.iter().map(|member| self.member_row(member)).collect()))
    }

    pub fn member_row(&self, member: &Member) -> Value {
        json!({ "person": self.person(member.member_id), "role": member.role.as_str(),
                "email": member.email.as_ref().map(|email| email.as_str()) })
    }

    fn new_thing(&mut self, new: &NewThing) -> registry::things::NewThing {
        registry::things::NewThing {
            id: Some(thing(new.id)),
            name: ThingName::try_from(new.name).unwrap(),
            kind: new.kind,
            key: new.key.map(|key| self.thing_key(key)),
            external_key: new.external.map(|key| self.external_key(key)),
            metadata: json_of(new.metadata),
        }
    }

    fn with_keys(&mut self, made: registry::Result<Vec<CreatedThing>>, expected: &[Option<Key>]) -> Outcome {
        let made = made.map_err(refusal)?;
        let mut answer = Answer::default();
        for (at, CreatedThing { thing, key }) in made.iter().enumerate() {
            let expected = expected.get(at).copied().flatten();
            answer.keys.push(key.as_ref().map(|key| self.name_of(key, expected)));
            answer.rows.push(self.thing_row(thing));
        }
        Ok(answer)
    }

    pub fn thing_row(&mut self, thing: &Thing) -> Value {
        let external = thing.external_key.as_ref().map(|text| {
            let secret = Secret::new(text.as_str());
            let made = self.memory.keys.iter().find(|(_, known)| **known == secret);
            made.map_or_else(|| format!("Text({text:?})"), |(id, _)| show(Key::Made(*id)))
        });
        json!({ "id": number(thing.id.uuid()), "group": number(thing.group_id.uuid()),
                "profile": number(thing.profile_id.uuid()), "name": thing.name,
                "type": thing.kind.map(registry::things::ThingType::as_str), "external": external,
                "metadata": thing.metadata, "role": thing.role.as_str() })
    }

    /// The same token is answered the same way again.
    fn remember_token(&mut self, token: u64, made: &CreatedToken) {
        let value = made.value.clone().unwrap();
        let known = self.memory.tokens.entry(token).or_insert_with(|| (Some(made.token.id), value.clone()));
        assert!(*known == (Some(made.token.id), value), "a repeated request made another token");
    }

    pub fn token_row(&self, token: &registry::AccessToken) -> Value {
        let known = self.memory.tokens.iter().find(|(_, (id, _))| *id == Some(token.id));
        json!({ "token": known.map(|(id, _)| *id), "writes": token.can_write,
                "within": shown_within(token.within), "created": token.created_at.millis(),
                "expires": token.expires_at.map(registry::Timestamp::millis) })
    }

    /// The object's present version, as the root sees it.
    pub async fn version(&self, object: Object) -> Option<String> {
        let (call, registry) = (self.as_root(), &self.registry);
        let version = match object {
            Object::Org(id) => registry.view_org(&call, org(id)).await.ok()?.version(),
            Object::Group(id) => registry.view_group(&call, group(id)).await.ok()?.version(),
            Object::Profile(id) => registry.view_profile(&call, profile(id)).await.ok()?.version(),
            Object::Thing(id) => registry.view_thing(&call, thing(id)).await.ok()?.thing.version(),
        };
        Some(version.as_str().to_owned())
    }
}

pub fn one(answer: registry::Result<Value>) -> Outcome {
    many(answer.map(|row| vec![row]))
}

fn many(answer: registry::Result<Vec<Value>>) -> Outcome {
    answer.map(|rows| Answer { rows, keys: Vec::new() }).map_err(refusal)
}

pub fn done(answer: registry::Result<()>) -> Outcome {
    many(answer.map(|()| Vec::new()))
}

fn new_group(new: &New) -> NewGroup {
    NewGroup {
        id: Some(group(new.id)),
        name: GroupName::try_from(new.name).unwrap(),
        description: Description::default(),
        metadata: json_of(new.metadata),
    }
}

fn new_profile(new: &New) -> NewProfile {
    NewProfile {
        id: Some(profile(new.id)),
        name: ProfileName::try_from(new.name).unwrap(),
        config: new.config.map(config_of),
        metadata: json_of(new.metadata),
    }
}

fn config_of(text: &'static str) -> ProfileConfig {
    ProfileConfig::new(json_of(text)).unwrap()
}

pub fn org_row(org: &Org) -> Value {
    json!({ "id": number(org.id.uuid()), "name": org.name, "description": org.description,
            "metadata": org.metadata, "created": org.created_at.millis(),
            "updated": org.updated_at.millis(), "role": org.role.as_str() })
}

pub fn group_row(group: &Group) -> Value {
    json!({ "id": number(group.id.uuid()), "org": number(group.org_id.uuid()), "name": group.name,
            "description": group.description, "metadata": group.metadata,
            "created": group.created_at.millis(), "updated": group.updated_at.millis(),
            "role": group.role.as_str() })
}

pub fn profile_row(profile: &Profile) -> Value {
    json!({ "id": number(profile.id.uuid()), "group": number(profile.group_id.uuid()),
            "name": profile.name, "config": profile.config, "metadata": profile.metadata,
            "role": profile.role.as_str() })
}
