//! Business rules through real servers: they choose among what may be offered, say what they did, and are changed as one.

use std::fs;

use finrank_contracts::ranking::v1::{
    OutcomeKind, PinOutcome, PinReport, Placement, RecommendRequest, RecommendResponse, RecordOutcomeRequest,
    ReloadSelectionRequest, ReplayDecisionRequest, ReplayOutcome,
    ranking_service_client::RankingServiceClient,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use prost_types::FieldMask;
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt;

use crate::{
    decisions,
    world::{Server, World, eventually},
};

const NO_RULES: &str = "format = 1\nversion = \"none\"\n";

/// A server of its own by a selection file, and the file.
async fn with_selection(
    name: &str,
    text: &str,
) -> (Server, RankingServiceClient<Channel>, std::path::PathBuf) {
    let world = World::shared().await;
    let file = world.state.path().join(format!("{name}.toml"));
    fs::write(&file, text).unwrap();
    let settings = world.state.path().join(format!("{name}-settings.toml"));
    fs::write(&settings, format!("[ranking.selection]\nfile = {:?}\n", file.to_str().unwrap())).unwrap();
    let store = &world.feature_store_url;
    let args = ["serve", "ranking", "--listen", "127.0.0.1:0", "--feature-store", store, "--config"];
    let server = Server::start(&world.finrank(), &[&args[..], &[settings.to_str().unwrap()]].concat());
    let ranking = RankingServiceClient::connect(server.url.clone()).await.unwrap();
    (server, ranking, file)
}

async fn recommended(ranking: &mut RankingServiceClient<Channel>, k: u32) -> RecommendResponse {
    let request = RecommendRequest {
        user_id: World::shared().await.user_ids[11].clone(),
        k,
        debug: Some(FieldMask { paths: vec!["pins".to_owned()] }),
        ..RecommendRequest::default()
    };
    let mut answer = None;
    eventually("there is a catalogue", async || {
        answer = ranking.recommend(request.clone()).await.ok();
        answer.is_some()
    })
    .await;
    answer.unwrap().into_inner()
}

fn ids(answer: &RecommendResponse) -> Vec<&str> {
    answer.items.iter().map(|item| item.product_id.as_str()).collect()
}

#[tokio::test]
async fn rules_choose_among_what_may_be_offered_are_told_kept_and_replayed_and_a_broken_file_is_refused() {
    let world = World::shared().await;
    let (server, mut ranking, file) = with_selection("selection", NO_RULES).await;
    let plain = recommended(&mut ranking, 500).await;
    let last = plain.items.last().unwrap();
    let (first, pinned) = (&plain.items[0], last.product_id.clone());
    let rules = format!(
        "format = 1\nversion = \"rules\"\n\
         [[pin]]\ncode = \"LAST_FIRST\"\ndescription = \"d\"\nproduct_id = {pinned:?}\nplace = 1\n\
         [[pin]]\ncode = \"GONE\"\ndescription = \"d\"\nproduct_id = \"no such product\"\nplace = 2\n\
         [[boost]]\ncode = \"LESS\"\ndescription = \"d\"\nfactor = 0.5\nproduct_ids = [{:?}]\n\
         [[cap]]\ncode = \"CLASS\"\ndescription = \"d\"\nper = \"class\"\nmost = 2\n\
         [[exploration]]\ncode = \"TAIL\"\ndescription = \"d\"\nepsilon = 0.25\nfrom_place = 2\nchallengers = 9\n",
        first.product_id,
    );
    let run = |arguments: &[&str]| {
        world.finrank().run(&[&["selection"], arguments, &["--ranking", &server.url]].concat())
    };

    fs::write(&file, &rules).unwrap();
    let checked = world.finrank().succeed(&["selection", "check", file.to_str().unwrap()]);
    let reloaded = run(&["reload"]);
    let ruled = recommended(&mut ranking, 500).await;
    let again = run(&["reload"]);
    fs::write(&file, rules.replace("most = 2", "most = 0").replace("factor = 0.5", "factor = \"half\""))
        .unwrap();
    let broken = world.finrank().fail(&["selection", "check", file.to_str().unwrap()]);
    let refusal = ranking.reload_selection(ReloadSelectionRequest {}).await.unwrap_err();
    let stays = recommended(&mut ranking, 3).await;

    assert!(checked.contains("LAST_FIRST") && checked.contains("5 rules"), "{checked}");
    assert!(String::from_utf8_lossy(&reloaded.stdout).contains("selection rules"), "{reloaded:?}");
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("nothing changes"), "{again:?}");
    assert_eq!(ids(&ruled)[0], pinned);
    assert!(ids(&ruled).iter().all(|id| ids(&plain).contains(id)));
    for item in &ruled.items {
        let told = plain.items.iter().find(|plain| plain.product_id == item.product_id).unwrap();
        // Whatever its place, its probability is what it was.
        assert_eq!(item.score, told.score);
        assert_eq!(item.boosted_by, if item.product_id == first.product_id { 0.5 } else { 1.0 });
        let of_class = ruled.items.iter().filter(|other| other.product_class == item.product_class).count();
        assert!(of_class <= 2);
    }
    assert!(plain.items.iter().all(|item| (item.boosted_by, item.propensity) == (1.0, 1.0)));
    let report = ruled.selection.clone().unwrap();
    assert_eq!((report.exploration.as_str(), report.caps.len()), ("TAIL", 1));
    assert_eq!(report.caps[0].products as usize, plain.items.len() - ruled.items.len());
    let outcomes: Vec<PinOutcome> = ruled.debug.unwrap().pins.iter().map(PinReport::outcome).collect();
    assert_eq!(outcomes, [PinOutcome::Placed, PinOutcome::NotInCatalogue]);
    assert!(broken.contains("cap[CLASS].most") && broken.contains("boost[LESS].factor"), "{broken}");
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert_eq!(refusal.get_details_bad_request().unwrap().field_violations.len(), 2);
    assert_eq!(stays.selection.unwrap().selection, report.selection);

    let kept = decisions::kept(world, &ruled.decision_id).await.record.unwrap();
    let selection = kept.selection.unwrap();
    assert_eq!(hex::encode(selection.sha256), report.selection.unwrap().sha256);
    let recorded = &kept.items[0];
    assert_eq!((recorded.placement(), recorded.placed_by.as_str()), (Placement::Pin, "LAST_FIRST"));
    for (recorded, told) in kept.items.iter().zip(&ruled.items) {
        assert_eq!((recorded.propensity, recorded.boosted_by), (told.propensity, told.boosted_by));
    }
    let replayed = ReplayDecisionRequest { decision_id: ruled.decision_id };
    let replay = ranking.replay_decision(replayed).await.unwrap().into_inner().replay.unwrap();
    assert_eq!(replay.outcome(), ReplayOutcome::Exact, "{replay:?}");
    for (number, item) in ruled.items.iter().enumerate() {
        let seen = RecordOutcomeRequest {
            outcome_id: format!("seen-{number}"),
            decision_id: kept.decision_id.clone(),
            product_id: item.product_id.clone(),
            kind: OutcomeKind::Impression.into(),
            occurred_at: kept.decided_at,
        };
        ranking.record_outcome(seen).await.unwrap();
    }
    let evaluate = ["evaluate", "--from-decisions", "--ranking", &server.url, "--json"];
    let measured: serde_json::Value = serde_json::from_str(&world.finrank().succeed(&evaluate)).unwrap();
    let mut models = measured["models"].as_array().unwrap().iter();
    let greedy = models.find_map(|model| model.get("greedy")).unwrap();
    let open = ruled.items.iter().filter(|item| item.propensity < 1.0).count();
    assert!(open > 0 && greedy["open"].as_u64().unwrap() >= open as u64, "{measured}");

    fs::write(&file, NO_RULES.replace("none", "after-the-hangup")).unwrap();
    kill(Pid::from_raw(server.process_id()), Signal::SIGHUP).unwrap();
    eventually("the new file is in force", async || {
        let answer = recommended(&mut ranking.clone(), 1).await;
        answer.selection.unwrap().selection.unwrap().version == "after-the-hangup"
    })
    .await;
}
