//! Recommendations for many, against those for one.

use std::{collections::HashSet, fs, path::Path};

use arrow_array::{RecordBatch, cast::AsArray};
use csv::StringRecord;
use finrank_contracts::ranking::v1::{
    BatchRecommendRequest, CustomerRefusal, RecommendRequest, RecommendResponse,
    batch_recommend_response::Outcome,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio_stream::StreamExt;

use crate::world::World;

fn wanted() -> RecommendRequest {
    RecommendRequest { k: 5, ..Default::default() }
}

async fn batch(world: &World, messages: Vec<Vec<String>>) -> Vec<Result<RecommendResponse, CustomerRefusal>> {
    let messages =
        messages.into_iter().map(|user_ids| BatchRecommendRequest { user_ids, request: Some(wanted()) });
    let answers = world.ranking().await.batch_recommend(tokio_stream::iter(messages)).await.unwrap();
    let outcome = |answer: Result<_, _>| match answer {
        Ok(finrank_contracts::ranking::v1::BatchRecommendResponse { outcome: Some(outcome) }) => {
            match outcome {
                Outcome::Recommendation(recommendation) => Ok(recommendation),
                Outcome::Refusal(refusal) => Err(refusal),
            }
        }
        other => panic!("{other:?}"),
    };
    answers.into_inner().map(outcome).collect().await
}

/// What does not depend on the moment.
fn lasting(answer: &RecommendResponse) -> (&str, u32, Vec<(&str, f64)>) {
    let items = answer.items.iter().map(|item| (item.product_id.as_str(), item.score));
    (&answer.user_id, answer.eligible_count, items.collect())
}

#[tokio::test]
async fn a_batch_answers_everybody_in_the_order_asked_as_recommend_does_one_by_one() {
    let world = World::shared().await;
    // More than a thread decides for at a time, and the first customer twice.
    let mut messages: Vec<Vec<String>> = world.user_ids[..120].chunks(70).map(<[String]>::to_vec).collect();
    messages.push(vec![world.user_ids[0].clone()]);

    let answers = batch(world, messages.clone()).await;

    let mut ranking = world.ranking().await;
    let asked: Vec<String> = messages.concat();
    assert_eq!(answers.len(), asked.len());
    let mut offered = 0;
    for (user_id, answer) in asked.into_iter().zip(&answers) {
        let alone = ranking.recommend(RecommendRequest { user_id, ..wanted() }).await.unwrap().into_inner();
        let answer = answer.as_ref().unwrap();
        assert_eq!(lasting(answer), lasting(&alone));
        assert!(answer.items.iter().all(|item| item.proof.is_some()));
        offered += answer.items.len();
    }
    assert!(offered > 300, "{offered}");
}

#[tokio::test]
async fn who_is_not_known_is_refused_in_place_and_the_others_are_answered() {
    let world = World::shared().await;
    let [first, last] = [0, 1].map(|place| world.user_ids[place].clone());

    let answers = batch(world, vec![vec![first.clone(), "nobody".to_owned(), last.clone()]]).await;

    assert_eq!(answers.len(), 3);
    assert_eq!(answers[0].as_ref().unwrap().user_id, first);
    let refusal = answers[1].as_ref().unwrap_err();
    assert_eq!(
        (refusal.user_id.as_str(), refusal.code, refusal.reason.as_str()),
        ("nobody", 5, "USER_NOT_FOUND")
    );
    assert_eq!(answers[2].as_ref().unwrap().user_id, last);
}

/// A campaign of some customers and nobody, ten to a file.
fn campaign<'a>(world: &'a World, users: &'a str, out: &'a str) -> impl Fn(&[&str]) -> Vec<String> + use<'a> {
    let ranking = world.ranking_url.clone();
    move |more: &[&str]| {
        let args = ["batch-recommend", "--users", users, "--part", "10", "--ranking", &ranking, "--out", out];
        args.iter().chain(more).map(ToString::to_string).collect()
    }
}

fn rows(directory: &Path) -> Vec<StringRecord> {
    let mut parts: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    parts.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("part-"));
    parts.sort();
    parts
        .iter()
        .flat_map(|part| csv::Reader::from_path(part).unwrap().into_records().map(Result::unwrap))
        .collect()
}

#[tokio::test]
async fn a_campaign_goes_on_where_it_was_cut_off_and_holds_to_what_was_asked() {
    let world = World::shared().await;
    let folder = tempfile::tempdir().unwrap();
    let (users, out) = (folder.path().join("users.csv"), folder.path().join("campaign"));
    let named: Vec<&str> = world.user_ids[..24].iter().map(String::as_str).chain(["nobody"]).collect();
    let lines: String = named.iter().map(|user_id| format!("a note,{user_id}\n")).collect();
    fs::write(&users, format!("note,user_id\n{lines}")).unwrap();
    let (users, out_name) = (users.to_str().unwrap(), out.to_str().unwrap());
    let args = campaign(world, users, out_name);
    let run = |more: &[&str]| {
        let args = args(more);
        world.finrank().succeed(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };

    let too_many = args(&["-k", "501"]);
    let refused = world.finrank().fail(&too_many.iter().map(String::as_str).collect::<Vec<_>>());
    let first = run(&["-k", "3"]);
    let whole = rows(&out);
    fs::remove_file(out.join("part-00001.csv")).unwrap();
    fs::write(out.join("part-00002.csv"), "user_id\nkept\n").unwrap();
    let again = run(&["-k", "3", "--json"]);
    let others = args(&["-k", "4"]);
    let others = world.finrank().fail(&others.iter().map(String::as_str).collect::<Vec<_>>());

    assert!(refused.contains("1 to 500"), "{refused}");
    assert!(first.contains("for 25 customers"), "what was refused leaves the folder free: {first}");
    let asked: HashSet<&str> = whole.iter().map(|row| &row[0]).collect();
    assert_eq!(asked, named.iter().copied().collect());
    let nobody: Vec<&StringRecord> = whole.iter().filter(|row| &row[0] == "nobody").collect();
    assert_eq!(nobody.len(), 1);
    assert_eq!(nobody[0].iter().next_back(), Some("USER_NOT_FOUND"));
    let report: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!(
        (&report["customers"], &report["written"], &report["kept"]),
        (&10.into(), &1.into(), &2.into())
    );
    let of_the_first = |rows: &[StringRecord]| -> Vec<[String; 3]> {
        let first = rows.iter().filter(|row| named[..20].contains(&&row[0]));
        first.map(|row| [0, 1, 2].map(|column| row[column].to_owned())).collect()
    };
    let now = rows(&out);
    assert_eq!(of_the_first(&now), of_the_first(&whole));
    assert_eq!(&now.last().unwrap()[0], "kept", "a file that is there is not written again");
    assert!(others.contains("holds another campaign"), "{others}");
}

#[tokio::test]
async fn a_campaign_in_parquet_has_the_rows_of_one_in_text_and_a_bad_list_is_named_by_its_line() {
    let world = World::shared().await;
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users.csv");
    fs::write(&users, format!("user_id\n{}\n", world.user_ids[..15].join("\n"))).unwrap();
    let run = |form: &str| {
        let out = folder.path().join(form);
        let args = campaign(world, users.to_str().unwrap(), out.to_str().unwrap())(&["--form", form]);
        world.finrank().succeed(&args.iter().map(String::as_str).collect::<Vec<_>>());
        out
    };

    let text = rows(&run("csv"));
    let parquet = run("parquet");
    let bad = folder.path().join("bad.csv");
    fs::write(&bad, "user_id\na\n\"\n\"\n").unwrap();
    let refused = folder.path().join("refused");
    let args = campaign(world, bad.to_str().unwrap(), refused.to_str().unwrap())(&[]);
    let refusal = world.finrank().fail(&args.iter().map(String::as_str).collect::<Vec<_>>());

    let part = |name: &str| {
        let file = fs::File::open(parquet.join(name)).unwrap();
        ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(Result::unwrap)
    };
    let batches: Vec<_> = part("part-00000.parquet").chain(part("part-00001.parquet")).collect();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), text.len());
    let products = batches[0].column_by_name("product_id").unwrap().as_string::<i32>();
    assert!(text.iter().zip(products.iter()).all(|(row, product)| Some(&row[2]) == product.or(Some(""))));
    assert!(refusal.contains("line 3"), "{refusal}");
}
