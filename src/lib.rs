//! The contracts between finrank's services and their clients, generated from `proto/`.
//!
//! This crate holds messages, clients, server traits and the descriptor set. It does no I/O, and nothing
//! of finrank stands below it.

/// `finrank.common.v1`: customers, products, events and embeddings.
pub mod common {
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
    pub mod v1 {
        tonic::include_proto!("finrank.common.v1");
    }
}

/// `finrank.feature.v1`: the feature store.
pub mod feature {
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
    pub mod v1 {
        tonic::include_proto!("finrank.feature.v1");
    }
}

/// `finrank.model.v1`: the model registry.
pub mod model {
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
    pub mod v1 {
        tonic::include_proto!("finrank.model.v1");
    }
}

/// `finrank.ranking.v1`: the ranking service.
pub mod ranking {
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
    pub mod v1 {
        tonic::include_proto!("finrank.ranking.v1");
    }
}

/// Feast's own contracts, for clients that speak those.
pub mod feast {
    /// `feast.types`: values.
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
    pub mod types {
        tonic::include_proto!("feast.types");
    }

    /// `feast.serving`: reading features online.
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
    pub mod serving {
        tonic::include_proto!("feast.serving");
    }

    /// What Feast gives no package: its server that reads and writes.
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
    pub mod server {
        // The generated code names Feast's packages from the root.
        use crate::feast;

        tonic::include_proto!("_");
    }
}

/// The encoded `google.protobuf.FileDescriptorSet` of every proto above with its imports and comments,
/// for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
