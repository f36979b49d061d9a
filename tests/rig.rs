//! The harness of the schema registry itself: what it claims to start, to see and to answer. Without the program.

use serde_json::json;

use crate::harness::{Registry, Version};

const VERSIONS: [Version; 3] = [Version::V3_3, Version::V3_0, Version::V2_6];

#[test]
fn each_version_registers_and_finds_again_and_its_two_ids_differ() {
    for version in VERSIONS {
        let registry = Registry::shared(version);
        let (status, info) = registry.get("/system/info");
        assert_eq!((status, &info["version"]), (200, &json!(version.number())));
        let schema = r#"{"type":"object","properties":{"rig":{"type":"integer"}}}"#;
        let first = registry.register("rig first", "users", "JSON", schema);
        assert_eq!(
            (first.version.as_str(), first.artifact_type.as_str()),
            ("1", "JSON")
        );
        assert_ne!(first.content_id, first.global_id);
        assert_eq!(
            registry.register("rig first", "users", "JSON", schema),
            first
        );
        assert_eq!(registry.content(first.content_id), schema);
        let other = schema.replace("integer", "string");
        let second = registry.register("rig first", "users", "JSON", &other);
        assert_eq!(registry.versions("rig first", "users"), [first, second]);
        assert_eq!(registry.versions("rig first", "nobody"), []);
        assert_eq!(registry.artifacts("rig first"), ["users"]);
    }
}
