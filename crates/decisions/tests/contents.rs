//! Contents in a real Postgres: each is there once, as it was, and nothing that was changed passes for it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::slice;

use finrank_decisions::{
    DecisionLogError,
    contents::{Content, ContentKind, Contents},
};
use finrank_model::Sha256Digest;
use finrank_store::scratch::ScratchDatabase;

fn policy(text: &str) -> Content {
    Content::new(ContentKind::Policy, text.as_bytes().to_vec())
}

#[tokio::test]
async fn what_is_kept_is_there_once_as_it_was_and_the_rest_is_missing() {
    let database = ScratchDatabase::create().await;
    let contents = Contents::new(database.store.clone());
    let (first, second, never) = (policy("first"), policy("second"), Sha256Digest::of(b"never kept"));

    contents.keep(slice::from_ref(&first)).await.unwrap();
    contents.keep(&[first.clone(), second.clone()]).await.unwrap();
    let found = contents.get(&[first.sha256(), second.sha256(), never]).await.unwrap();
    let missing = contents.missing([first.sha256(), never]).await.unwrap();

    assert_eq!(found.len(), 2);
    assert_eq!((&*found[&first.sha256()], &*found[&second.sha256()]), (&b"first"[..], &b"second"[..]));
    assert_eq!(missing.into_iter().collect::<Vec<_>>(), [never]);
    let rows: i64 = sqlx::query_scalar("select count(*) from kept_contents")
        .fetch_one(database.store.pool())
        .await
        .unwrap();
    assert_eq!(rows, 2);
}

#[tokio::test]
async fn what_was_changed_does_not_pass_for_what_was_kept() {
    let database = ScratchDatabase::create().await;
    let contents = Contents::new(database.store.clone());
    let content = policy("as it was");
    contents.keep(slice::from_ref(&content)).await.unwrap();
    let change = "update kept_contents set content = 'as it never was'";

    let refused = sqlx::query(change).execute(database.store.pool()).await.unwrap_err();
    // As somebody does who owns the database.
    sqlx::raw_sql("alter table kept_contents drop constraint is_its_content; drop trigger keep_history on kept_contents")
        .execute(database.store.pool())
        .await
        .unwrap();
    sqlx::query(change).execute(database.store.pool()).await.unwrap();
    let read = contents.get(&[content.sha256()]).await.unwrap_err();

    assert!(refused.to_string().contains("is history"), "{refused}");
    assert!(matches!(read, DecisionLogError::ContentChanged(sha256) if sha256 == content.sha256()), "{read}");
}
