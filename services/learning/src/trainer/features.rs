//! Records as what the towers read: fitted transforms, dense rows, and the sparse id of each product.

use candle_core::{Device, Tensor};
use finrank_model::{
    Attributes, Product, ProductTransform, TransformConfig, UserId, UserRecord, UserTransform,
    features::FeatureRow,
};
use ndarray::{Array2, Axis};

use crate::{
    Result,
    dataset::{Dataset, ProductIndex},
};

/// Products turned into ids at once.
const BATCH_PRODUCTS: usize = 4_096;

/// What the towers read of every customer and product.
pub(super) struct Features {
    pub(super) user_transform: UserTransform,
    pub(super) product_transform: ProductTransform,
    /// `[users, width]`.
    user_dense: Array2<f32>,
    /// `[products, width]`.
    product_dense: Array2<f32>,
    /// The sparse id of each product in a history; none when no training customer is seen to hold it.
    history_ids: Vec<Option<u32>>,
    /// The sparse id of each product's own vector.
    identity_ids: Vec<Option<u32>>,
}

/// Rows of one tower's input.
pub(super) struct TowerInput {
    /// `[n, width]`.
    pub(super) dense: Tensor,
    /// The sparse ids of all rows, one after the other.
    pub(super) ids: Vec<u32>,
    /// The row of each sparse id.
    pub(super) rows: Vec<u32>,
}

impl Features {
    /// Fits the transforms to `training` and the catalogue, and applies them to all of `records`.
    pub(super) fn fit(
        dataset: &Dataset,
        records: &[UserRecord],
        training: &[UserRecord],
        config: &TransformConfig,
    ) -> Self {
        let user_transform = UserTransform::fit(training, config);
        let product_transform = ProductTransform::fit(&dataset.products, config);
        let product_rows = product_transform.rows(&dataset.products);
        Self {
            user_dense: user_transform.rows(records).dense,
            product_dense: product_rows.dense,
            history_ids: history_ids(&user_transform, &dataset.products),
            identity_ids: product_rows.sparse.iter().map(|ids| ids.first().copied()).collect(),
            user_transform,
            product_transform,
        }
    }

    /// The user tower's input for customers with these histories; `keeps_attributes` may leave a row's
    /// attributes out.
    pub(super) fn user_input<'a>(
        &self,
        rows: impl Iterator<Item = (usize, &'a [ProductIndex])>,
        mut keeps_attributes: impl FnMut() -> bool,
    ) -> Result<TowerInput> {
        let mut users = Vec::new();
        let (mut ids, mut of_rows) = (Vec::new(), Vec::new());
        for (row, (user, history)) in (0..).zip(rows) {
            users.push(user);
            for id in history.iter().filter_map(|&product| self.history_ids[product as usize]) {
                ids.push(id);
                of_rows.push(row);
            }
        }
        let mut dense = self.user_dense.select(Axis(0), &users);
        for mut row in dense.rows_mut() {
            if !keeps_attributes() {
                row.fill(0.0);
            }
        }
        Ok(TowerInput { dense: to_tensor(dense)?, ids, rows: of_rows })
    }

    /// The product tower's input; `keeps_identity` may leave a product's own vector out.
    pub(super) fn product_input(
        &self,
        products: &[ProductIndex],
        mut keeps_identity: impl FnMut() -> bool,
    ) -> Result<TowerInput> {
        let positions: Vec<usize> = products.iter().map(|&product| product as usize).collect();
        let (mut ids, mut of_rows) = (Vec::new(), Vec::new());
        for (row, &position) in (0..).zip(&positions) {
            if let Some(id) = self.identity_ids[position].filter(|_| keeps_identity()) {
                ids.push(id);
                of_rows.push(row);
            }
        }
        Ok(TowerInput {
            dense: to_tensor(self.product_dense.select(Axis(0), &positions))?,
            ids,
            rows: of_rows,
        })
    }

    /// How many products there are.
    pub(super) fn products(&self) -> usize {
        self.identity_ids.len()
    }
}

/// Asks the transform itself, so that training and serving cannot disagree on an id.
fn history_ids(transform: &UserTransform, products: &[Product]) -> Vec<Option<u32>> {
    let anyone = UserId::parse("anyone").expect("a short id without control characters");
    let holder = |product: &Product| UserRecord {
        user_id: anyone.clone(),
        attributes: Attributes::default(),
        held: vec![product.product_id.clone()],
        features: FeatureRow::default(),
    };
    products
        .chunks(BATCH_PRODUCTS)
        .flat_map(|batch| {
            let holders: Vec<UserRecord> = batch.iter().map(holder).collect();
            transform.rows(&holders).sparse
        })
        .map(|ids| ids.first().copied())
        .collect()
}

fn to_tensor(rows: Array2<f32>) -> Result<Tensor> {
    let shape = rows.dim();
    let (values, _) = rows.into_raw_vec_and_offset();
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}
