//! Id maps in a mount's options, as crun(1) has them: `idmap=uids=0-1-10#10-11-10;gids=0-100-10`.
//!
//! Each range is a first id of the file system, the host's id that it is shown as, and how many
//! there are. A range behind `@` ends in an id of the container's user namespace instead.

use std::borrow::Cow;

use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxIdMappingBuilder, Mount};

type Maps = Vec<LinuxIdMapping>;

/// The mount with the maps of its options as `uidMappings` and `gidMappings`; itself where the
/// options have none.
///
/// # Errors
/// What is wrong with the option, without its path.
pub fn spelled_out<'a>(mount: &'a Mount, linux: Option<&Linux>) -> Result<Cow<'a, Mount>, String> {
    let options = mount.options().as_deref().unwrap_or_default();
    let cut = |option: &'a String| {
        let (word, maps) = option.split_once('=')?;
        matches!(word, "idmap" | "ridmap").then_some((option, word, maps))
    };
    let Some((option, word, maps)) = options.iter().find_map(cut) else {
        return Ok(Cow::Borrowed(mount));
    };
    let given = |maps: &Option<Maps>| maps.as_ref().is_some_and(|maps| !maps.is_empty());
    if given(mount.uid_mappings()) || given(mount.gid_mappings()) {
        return Err(format!("{option:?} has maps, and uidMappings or gidMappings has, too"));
    }
    let wrong = |problem| format!("{option:?}: {problem}");
    let (uids, gids) = read(maps, linux).map_err(wrong)?;
    let mut out = mount.clone();
    let plain = |o: &String| if o == option { word.to_owned() } else { o.clone() };
    out.set_options(Some(options.iter().map(plain).collect()));
    out.set_uid_mappings(Some(uids)).set_gid_mappings(Some(gids));
    Ok(Cow::Owned(out))
}

fn read(text: &str, linux: Option<&Linux>) -> Result<(Maps, Maps), String> {
    let (mut uids, mut gids) = (None, None);
    for part in text.split(';').filter(|part| !part.is_empty()) {
        let (into, ranges, users) = match part.split_once('=') {
            Some(("uids", ranges)) => (&mut uids, ranges, linux.map(Linux::uid_mappings)),
            Some(("gids", ranges)) => (&mut gids, ranges, linux.map(Linux::gid_mappings)),
            _ => return Err(format!("{part:?} is neither uids= nor gids=")),
        };
        let users = users.and_then(|users| users.as_deref()).unwrap_or_default();
        let all = ranges.split('#').map(|one| range(one, users)).collect::<Result<_, _>>()?;
        *into = Some(all);
    }
    uids.zip(gids).ok_or_else(|| "wants both uids= and gids=".to_owned())
}

fn range(text: &str, users: &[LinuxIdMapping]) -> Result<LinuxIdMapping, String> {
    let (numbers, relative) = match text.strip_prefix('@') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let numbers: Option<Vec<u32>> = numbers.split('-').map(|one| one.parse().ok()).collect();
    let Some([first, shown, size]) = numbers.as_deref() else {
        return Err(format!("{text:?} is not FIRST-SHOWN-SIZE, three numbers"));
    };
    let shown = match relative {
        false => *shown,
        true => host_id(users, *shown, *size).ok_or_else(|| {
            format!("{text:?} ends in ids that are not in one range of the container's maps")
        })?,
    };
    let range = LinuxIdMappingBuilder::default().container_id(*first).host_id(shown).size(*size);
    range.build().map_err(|error| error.to_string())
}

/// The host's id of the first of so many of the container, all in one range.
fn host_id(users: &[LinuxIdMapping], id: u32, size: u32) -> Option<u32> {
    users.iter().find_map(|map| {
        let at = id.checked_sub(map.container_id())?;
        let fits = at.checked_add(size)? <= map.size();
        fits.then(|| map.host_id().checked_add(at)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spelled(option: &str) -> Result<Value, String> {
        let maps = json!([{"containerID": 0, "hostID": 0, "size": 1},
            {"containerID": 1, "hostID": 2, "size": 1000}]);
        let linux: Linux =
            serde_json::from_value(json!({"uidMappings": maps, "gidMappings": maps})).unwrap();
        let mount = json!({"destination": "/x", "source": "/y", "options": ["bind", option]});
        let mount: Mount = serde_json::from_value(mount).unwrap();
        let out = spelled_out(&mount, Some(&linux))?.into_owned();
        Ok(serde_json::to_value(&out).unwrap())
    }

    fn ids(out: &Value, field: &str) -> Vec<[u64; 3]> {
        let of =
            |map: &Value| ["containerID", "hostID", "size"].map(|name| map[name].as_u64().unwrap());
        out[field].as_array().unwrap().iter().map(of).collect()
    }

    #[test]
    fn maps_of_an_option_become_the_mounts() {
        let out = spelled("idmap=uids=0-1-10#10-11-10;gids=0-100-10").unwrap();
        assert_eq!(out["options"], json!(["bind", "idmap"]));
        assert_eq!(ids(&out, "uidMappings"), [[0, 1, 10], [10, 11, 10]]);
        assert_eq!(ids(&out, "gidMappings"), [[0, 100, 10]]);
        let out = spelled("ridmap=uids=@1-3-10;gids=@0-0-1").unwrap();
        assert_eq!(out["options"], json!(["bind", "ridmap"]));
        assert_eq!(ids(&out, "uidMappings"), [[1, 4, 10]]);
        assert_eq!(spelled("idmap").unwrap()["uidMappings"], Value::Null);
    }

    #[test]
    fn maps_that_are_none_are_told() {
        for (option, problem) in [
            ("idmap=", "wants both"),
            ("idmap=uids=0-1-10", "wants both"),
            ("idmap=uids=0-1;gids=0-1-1", "\"0-1\" is not"),
            ("idmap=uids=0-1-x;gids=0-1-1", "\"0-1-x\" is not"),
            ("idmap=ids=0-1-1", "neither"),
            ("idmap=uids=@0-0-2;gids=0-0-1", "in one range"),
        ] {
            let said = spelled(option).unwrap_err();
            assert!(said.contains(problem), "{option}: {said}");
        }
    }
}
