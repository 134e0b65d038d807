//! A catalogue as it is kept: every product by its digest, these in pages, and the pages under one digest, which names the
//! catalogue. What does not change from one catalogue to the next is kept once.

use std::{collections::HashSet, ops::Range};

use finrank_contracts::{
    common::v1::Product,
    ranking::v1::{KeptAttribute, KeptCatalogue, KeptPage, KeptProduct},
};
use finrank_decisions::{
    DecisionLogError,
    contents::{AT_A_TIME, Content, ContentKind, Contents},
};
use finrank_model::{AttributeName, Sha256Digest};
use finrank_serving::wire;
use prost::Message;

use super::Catalogue;
use crate::index::Row;

/// What names a catalogue and its parts.
#[derive(Debug)]
pub(super) struct Manifest {
    sha256: Sha256Digest,
    pages: Vec<Page>,
    /// In the order of rows.
    products: Vec<Sha256Digest>,
}

#[derive(Debug)]
struct Page {
    sha256: Sha256Digest,
    rows: Range<usize>,
}

impl Manifest {
    /// Takes 1 µs a product of 64 components (`a_hundred_thousand_products_are_kept_and_restored` prints it).
    fn of(catalogue: &Catalogue) -> Self {
        let digest = |row| Sha256Digest::of(&kept_product(catalogue, Row(row)).encode_to_vec());
        let products: Vec<Sha256Digest> = (0..catalogue.len()).map(digest).collect();
        let mut pages = Vec::new();
        for page in products.split_inclusive(ends_a_page) {
            let start = pages.last().map_or(0, |page: &Page| page.rows.end);
            let sha256 = Sha256Digest::of(&kept_page(page).encode_to_vec());
            pages.push(Page { sha256, rows: start..start + page.len() });
        }
        let sha256 = Sha256Digest::of(&kept_catalogue(catalogue, &pages).encode_to_vec());
        Self { sha256, pages, products }
    }
}

impl Catalogue {
    /// What names it: the SHA-256 of a [`KeptCatalogue`], and so of all that is in it.
    pub fn digest(&self) -> Sha256Digest {
        self.manifest().sha256
    }

    /// Made once, when it is first asked for: where no decision is kept, nobody asks.
    fn manifest(&self) -> &Manifest {
        self.manifest.get_or_init(|| Manifest::of(self))
    }

    /// Keeps it, so that it is there whole once this returns: its parts first, and of them only those that are not kept yet.
    ///
    /// # Errors
    /// When Postgres does not take it.
    pub async fn keep(&self, contents: &Contents) -> Result<(), DecisionLogError> {
        let Manifest { sha256, pages, products } = self.manifest();
        if contents.missing([*sha256]).await?.is_empty() {
            return Ok(());
        }
        let missing_pages = contents.missing(pages.iter().map(|page| page.sha256)).await?;
        let pages_to_keep: Vec<&Page> =
            pages.iter().filter(|page| missing_pages.contains(&page.sha256)).collect();
        let rows = || pages_to_keep.iter().flat_map(|page| page.rows.clone());
        let missing: HashSet<Sha256Digest> = contents.missing(rows().map(|row| products[row])).await?;
        let rows: Vec<Row> = rows().filter(|&row| missing.contains(&products[row])).map(Row).collect();
        for some in rows.chunks(AT_A_TIME) {
            let product =
                |&row: &Row| Content::new(ContentKind::Product, kept_product(self, row).encode_to_vec());
            contents.keep(&some.iter().map(product).collect::<Vec<_>>()).await?;
        }
        let page = |page: &&Page| {
            let kept = kept_page(&products[page.rows.clone()]);
            Content::new(ContentKind::Page, kept.encode_to_vec())
        };
        contents.keep(&pages_to_keep.iter().map(page).collect::<Vec<_>>()).await?;
        let kept = kept_catalogue(self, pages);
        contents.keep(&[Content::new(ContentKind::Catalogue, kept.encode_to_vec())]).await
    }
}

/// On average, pages have 256 products.
fn ends_a_page(product: &Sha256Digest) -> bool {
    product.as_bytes()[0] == 0
}

fn kept_product(catalogue: &Catalogue, row: Row) -> KeptProduct {
    let (product, embedding) = (catalogue.product(row), catalogue.index().embedding(row).embedding);
    let attribute = |(name, value): (&AttributeName, _)| KeptAttribute {
        name: name.to_string(),
        value: Some(wire::attribute_to_wire(value)),
    };
    KeptProduct {
        product: Some(Product {
            product_id: product.product_id.to_string(),
            product_class: wire::product_class_to_wire(product.product_class).into(),
            name: product.name.clone(),
            issuer: product.issuer.clone(),
            risk_grade: product.risk_grade.map(|grade| grade.get().into()),
            status: wire::product_status_to_wire(product.status).into(),
            ..Product::default()
        }),
        attributes: product.attributes.iter().map(attribute).collect(),
        embedding: embedding.as_slice().to_vec(),
    }
}

fn kept_page(products: &[Sha256Digest]) -> KeptPage {
    KeptPage { products: products.iter().map(|sha256| sha256.as_bytes().to_vec()).collect() }
}

fn kept_catalogue(catalogue: &Catalogue, pages: &[Page]) -> KeptCatalogue {
    let generation = catalogue.generation();
    KeptCatalogue {
        run_id: generation.run_id,
        model_version: generation.model_version.to_string(),
        embedding_space: generation.embedding_space.to_string(),
        dimension: generation.dimension.try_into().unwrap_or(u32::MAX),
        bundle_sha256: catalogue.bundle().as_bytes().to_vec(),
        pages: pages.iter().map(|page| page.sha256.as_bytes().to_vec()).collect(),
    }
}
