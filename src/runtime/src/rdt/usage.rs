//! What resctrl tells of a container's group, in runc's words.
//!
//! Sources: Documentation/filesystems/resctrl.rst, runc types/events.go.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::Group;

/// Of one container; of one without a group, nothing.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// What the level 3 cache can be given by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l3_cache_info: Option<CacheInfo>,
    /// Its parts of the default group, as a line of schemata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l3_cache_schema_root: Option<String>,
    /// Those of the container's group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l3_cache_schema: Option<String>,
    /// What memory bandwidth can be given by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_bw_info: Option<BandwidthInfo>,
    /// Its parts of the default group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_bw_schema_root: Option<String>,
    /// Those of the container's group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_bw_schema: Option<String>,
    /// Memory bandwidth used, by domain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mbm_stats: Vec<Bandwidth>,
    /// Cache used, by domain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmt_stats: Vec<Cache>,
}

/// `info/L3`.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct CacheInfo {
    /// All of the cache, in hexadecimal.
    pub cbm_mask: String,
    /// Fewest bits of a mask.
    pub min_cbm_bits: u64,
    /// How many groups there may be.
    pub num_closids: u64,
}

/// `info/MB`.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct BandwidthInfo {
    /// Steps, per cent.
    pub bandwidth_gran: u64,
    /// 1 when delays grow with the number.
    pub delay_linear: u64,
    /// The least, per cent.
    pub min_bandwidth: u64,
    /// How many groups there may be.
    pub num_closids: u64,
}

/// Bytes that went through one domain's memory controller.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bandwidth {
    /// All.
    pub mbm_total_bytes: u64,
    /// To memory of its own node.
    pub mbm_local_bytes: u64,
}

/// What is held of one domain's cache.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cache {
    /// Bytes.
    pub llc_occupancy: u64,
}

impl Group {
    /// What there is to tell now; what cannot be read is left out.
    pub(crate) fn usage(&self) -> Usage {
        let info = self.root.join("info");
        let cache = Some(info.join("L3")).filter(|folder| folder.is_dir());
        let bandwidth = Some(info.join("MB")).filter(|folder| folder.is_dir());
        let [of_all, own] = [&self.root, &self.path].map(|group| text(group, "schemata"));
        let mut usage = Usage::default();
        if let Some(folder) = cache {
            usage.l3_cache_info = Some(CacheInfo {
                cbm_mask: text(&folder, "cbm_mask").trim().to_owned(),
                min_cbm_bits: number(&folder, "min_cbm_bits"),
                num_closids: number(&folder, "num_closids"),
            });
            usage.l3_cache_schema_root = line(&of_all, "L3");
            usage.l3_cache_schema = line(&own, "L3");
        }
        if let Some(folder) = bandwidth {
            usage.mem_bw_info = Some(BandwidthInfo {
                bandwidth_gran: number(&folder, "bandwidth_gran"),
                delay_linear: number(&folder, "delay_linear"),
                min_bandwidth: number(&folder, "min_bandwidth"),
                num_closids: number(&folder, "num_closids"),
            });
            usage.mem_bw_schema_root = line(&of_all, "MB");
            usage.mem_bw_schema = line(&own, "MB");
        }
        self.add_monitored(&mut usage);
        usage
    }

    /// What is counted for the container's monitoring group; without one, for its group.
    fn add_monitored(&self, usage: &mut Usage) {
        let group = self.monitor.as_ref().unwrap_or(&self.path);
        let entries = fs::read_dir(group.join("mon_data")).into_iter().flatten().flatten();
        let mut domains: Vec<_> = entries.map(|entry| entry.path()).collect();
        domains.sort();
        for domain in domains {
            if domain.join("mbm_total_bytes").exists() || domain.join("mbm_local_bytes").exists() {
                usage.mbm_stats.push(Bandwidth {
                    mbm_total_bytes: number(&domain, "mbm_total_bytes"),
                    mbm_local_bytes: number(&domain, "mbm_local_bytes"),
                });
            }
            if domain.join("llc_occupancy").exists() {
                usage.cmt_stats.push(Cache { llc_occupancy: number(&domain, "llc_occupancy") });
            }
        }
    }
}

/// The line of a resource: `L3:0=ff;1=ff`.
fn line(schemata: &str, resource: &str) -> Option<String> {
    let is_it = |line: &&str| line.split_once(':').is_some_and(|(name, _)| name == resource);
    schemata.lines().map(str::trim).find(is_it).map(str::to_owned)
}

fn text(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_default()
}

/// A file of one number; a counter may say `Unavailable`, which is 0 as with runc.
fn number(folder: &Path, name: &str) -> u64 {
    text(folder, name).trim().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A folder in place of the file system.
    #[test]
    fn a_groups_schemata_and_counters_are_told() {
        let root = scope::Folder::new("rdt-usage");
        let put = |name: &str, text: &str| {
            let file = root.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        put("schemata", "    MB:0=100\n    L3:0=fffff\n");
        put("c/schemata", "    MB:0=20\n    L3:0=f\n");
        put("info/L3/cbm_mask", "fffff\n");
        put("info/L3/min_cbm_bits", "1\n");
        put("info/L3/num_closids", "16\n");
        put("info/MB/bandwidth_gran", "10\n");
        put("c/mon_groups/c/mon_data/mon_L3_00/llc_occupancy", "16234000\n");
        put("c/mon_groups/c/mon_data/mon_L3_00/mbm_total_bytes", "77\n");
        put("c/mon_groups/c/mon_data/mon_L3_01/llc_occupancy", "Unavailable\n");
        // Of others in the group.
        put("c/mon_data/mon_L3_00/llc_occupancy", "99999999\n");
        let (path, monitor) = (root.join("c"), Some(root.join("c/mon_groups/c")));
        let mut group = Group { root: root.to_path_buf(), path, made: true, named: false, monitor };
        let told = serde_json::to_value(group.usage()).unwrap();
        let expected = json!({
            "l3_cache_info": {"cbm_mask": "fffff", "min_cbm_bits": 1, "num_closids": 16},
            "l3_cache_schema_root": "L3:0=fffff",
            "l3_cache_schema": "L3:0=f",
            "mem_bw_info":
                {"bandwidth_gran": 10, "delay_linear": 0, "min_bandwidth": 0, "num_closids": 0},
            "mem_bw_schema_root": "MB:0=100",
            "mem_bw_schema": "MB:0=20",
            "mbm_stats": [{"mbm_total_bytes": 77, "mbm_local_bytes": 0}],
            "cmt_stats": [{"llc_occupancy": 16_234_000}, {"llc_occupancy": 0}],
        });
        assert_eq!(told, expected);
        group.monitor = None;
        assert_eq!(group.usage().cmt_stats, [Cache { llc_occupancy: 99_999_999 }]);
        assert_eq!(serde_json::to_value(Usage::default()).unwrap(), json!({}));
    }
}
