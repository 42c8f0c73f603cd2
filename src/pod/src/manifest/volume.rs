//! Volumes of a pod, and where a container mounts them.

use super::schema::{choice, record};
use crate::quantity::Quantity;

choice! {
    /// What an emptyDir lies on.
    pub enum Medium {
        /// The state folder's file system.
        Default = "",
        /// A tmpfs, charged to the pod's memory.
        Memory = "Memory",
    }
}

record! {
    /// A folder that lives as long as the pod.
    pub struct EmptyDirVolumeSource {
        /// Disk when absent.
        medium: Option<Medium> = "medium",
        /// Size of the tmpfs with `medium: Memory`.
        size_limit: Option<Quantity> = "sizeLimit",
    }
    later: [];
}

choice! {
    /// What must be, or is made, at a host path.
    pub enum HostPathType {
        /// Not checked.
        Unset = "",
        /// A folder; made (0755) when missing.
        DirectoryOrCreate = "DirectoryOrCreate",
        /// An existing folder.
        Directory = "Directory",
        /// A file; made (0644) when missing.
        FileOrCreate = "FileOrCreate",
        /// An existing regular file.
        File = "File",
        /// An existing unix socket.
        Socket = "Socket",
        /// An existing character device.
        CharDevice = "CharDevice",
        /// An existing block device.
        BlockDevice = "BlockDevice",
    }
}

record! {
    /// A path of the host.
    pub struct HostPathVolumeSource {
        /// Absolute path.
        path: String = "path" [required, host_path],
        /// What must be there.
        kind: Option<HostPathType> = "type",
    }
    later: [];
}

record! {
    /// A named volume with exactly one source.
    pub struct Volume {
        /// DNS-1123 label.
        name: String = "name" [required, label],
        /// A fresh folder.
        empty_dir: Option<EmptyDirVolumeSource> = "emptyDir",
        /// A host path.
        host_path: Option<HostPathVolumeSource> = "hostPath",
    }
    later: [
        "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "configMap", "csi",
        "downwardAPI", "ephemeral", "fc", "flexVolume", "flocker", "gcePersistentDisk", "gitRepo",
        "glusterfs", "image", "iscsi", "nfs", "persistentVolumeClaim", "photonPersistentDisk",
        "portworxVolume", "projected", "quobyte", "rbd", "scaleIO", "secret", "storageos",
        "vsphereVolume",
    ];
}

record! {
    /// Where a volume appears in a container.
    pub struct VolumeMount {
        /// Name of a volume of the pod.
        name: String = "name" [required],
        /// Absolute path in the container.
        mount_path: String = "mountPath" [required, mount_path],
        /// No writes through this mount.
        read_only: Option<bool> = "readOnly",
        /// Path below the volume's root; relative and without `..`.
        sub_path: Option<String> = "subPath" [relative_path],
    }
    later: ["mountPropagation", "recursiveReadOnly", "subPathExpr"];
}
