//! Those to whom products are recommended.

use chrono::{DateTime, Utc};

use super::Attributes;
use crate::{ProductId, UserId, features::FeatureRow};

/// A person or household that products are recommended to.
#[derive(Clone, Debug, PartialEq)]
pub struct Customer {
    /// Names the customer.
    pub user_id: UserId,
    /// What is known.
    pub attributes: Attributes,
    /// Since when it is true.
    pub event_time: DateTime<Utc>,
}

/// What a user tower may know of a customer: the attributes, the products held in the order of their ids, and values of
/// feature views, if the tower reads any.
#[derive(Clone, Debug, PartialEq)]
pub struct UserRecord {
    /// Names the customer.
    pub user_id: UserId,
    /// What is known.
    pub attributes: Attributes,
    /// Acquired and not closed since.
    pub held: Vec<ProductId>,
    /// Of the feature service that the model reads, at the moment of the record.
    pub features: FeatureRow,
}
