//! Two models side by side: real servers, two trained models, and the command that sets what is tried.

use std::{fs, path::PathBuf};

use finrank_contracts::{
    feature::v1::{EraseCustomerRequest, feature_store_service_client::FeatureStoreServiceClient},
    ranking::v1::{
        Arm, BatchRecommendRequest, GetDecisionRequest, OutcomeKind, RecommendRequest, RecommendResponse,
        RecordOutcomeRequest, ReplayDecisionRequest, ReplayOutcome, batch_recommend_response::Outcome,
        ranking_service_client::RankingServiceClient,
    },
};
use finrank_model::{self as model, Experiment, ExperimentName, ModelVersion, Share, UserId};
use finrank_store::{records, scratch::ScratchDatabase};
use serde_json::Value;
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::{
    models::policy_file,
    world::{Finrank, Server, eventually},
};

type Ranking = RankingServiceClient<Channel>;

/// A feature store that serves the first of two models; both are whole.
struct Place {
    _database: ScratchDatabase,
    _state: TempDir,
    finrank: Finrank,
    settings: PathBuf,
    feature_store: Server,
    versions: [String; 2],
    user_ids: Vec<String>,
}

impl Place {
    async fn create() -> Self {
        let database = ScratchDatabase::create().await;
        let state = tempfile::tempdir().unwrap();
        let database_url = database.store.url().to_owned();
        let finrank = Finrank { state: state.path().to_owned(), database_url };
        let settings = policy_file(state.path(), "max_psi = 100.0");
        let text = fs::read_to_string(&settings).unwrap();
        fs::write(&settings, format!("{text}\n[ranking.traffic]\ninterval = \"100ms\"\n")).unwrap();
        finrank.succeed(&["import", "--synthetic", "150,30,7"]);
        let versions = ["0", "1"].map(|seed| {
            let report = finrank.succeed(&["train", "--epochs", "1", "--seed", seed, "--json"]);
            let report: Value = serde_json::from_str(&report).unwrap();
            report["model_version"].as_str().unwrap().to_owned()
        });
        let feature_store = Server::start(
            &finrank,
            &["serve", "feature-store", "--config", settings.to_str().unwrap(), "--listen", "127.0.0.1:0"],
        );
        for version in &versions {
            finrank.succeed(&["refresh", "--model-version", version, "--feature-store", &feature_store.url]);
        }
        let users = records::user_records(&database.store, None, None, 150).await.unwrap();
        let user_ids = users.into_iter().map(|user| user.user_id.into()).collect();
        let place =
            Self { _database: database, _state: state, finrank, settings, feature_store, versions, user_ids };
        place.promote(0);
        place
    }

    fn finrank(&self, args: &[&str]) -> String {
        self.finrank.succeed(&[&["--config", self.settings.to_str().unwrap()], args].concat())
    }

    fn promote(&self, version: usize) {
        self.finrank(&["model", "promote", &self.versions[version], "--by", "alice"]);
    }

    async fn ranking(&self) -> (Server, Ranking) {
        let settings = self.settings.to_str().unwrap();
        let args = ["serve", "ranking", "--config", settings, "--listen", "127.0.0.1:0", "--feature-store"];
        let server = Server::start(&self.finrank, &[&args[..], &[&self.feature_store.url]].concat());
        let mut ranking = RankingServiceClient::connect(server.url.clone()).await.unwrap();
        eventually("ranking serves", async || {
            let request = RecommendRequest { user_id: self.user_ids[0].clone(), k: 1, ..Default::default() };
            ranking.recommend(request).await.is_ok()
        })
        .await;
        (server, ranking)
    }

    /// Answers for everybody, in the order asked.
    async fn answers(&self, ranking: &mut Ranking) -> Vec<RecommendResponse> {
        let request = Some(RecommendRequest { k: 3, ..Default::default() });
        let batch = BatchRecommendRequest { user_ids: self.user_ids.clone(), request };
        let mut stream = ranking.batch_recommend(tokio_stream::iter([batch])).await.unwrap().into_inner();
        let mut answers = Vec::new();
        while let Some(answer) = stream.message().await.unwrap() {
            // Who was erased is refused.
            if let Some(Outcome::Recommendation(answer)) = answer.outcome {
                answers.push(answer);
            }
        }
        answers
    }

    /// What the treatment answered before, the shadow, which is the same model, says of the same customers, and it is compared
    /// by what one of them did, exported, and erased with them.
    async fn the_shadow_says_what_the_treatment_answered(
        &self,
        before: &[RecommendResponse],
        ranking: &mut Ranking,
        server: &Server,
    ) {
        let offered_some =
            |answer: &&RecommendResponse| arm(answer) == Arm::Treatment && answer.items.len() == 3;
        let treated = before.iter().find(offered_some).unwrap();
        let request = RecommendRequest { user_id: treated.user_id.clone(), k: 3, ..Default::default() };
        let shown = ranking.recommend(request).await.unwrap().into_inner();
        for (kind, item) in [OutcomeKind::Purchase, OutcomeKind::Impression].into_iter().zip(&shown.items) {
            let outcome = RecordOutcomeRequest {
                outcome_id: item.product_id.clone(),
                decision_id: shown.decision_id.clone(),
                product_id: item.product_id.clone(),
                kind: kind.into(),
                occurred_at: shown.decided_at,
            };
            eventually("the outcome is kept", async || ranking.record_outcome(outcome.clone()).await.is_ok())
                .await;
        }
        let mut said = Value::Null;
        eventually("the shadow's word is kept", async || {
            let url = &self.feature_store.url;
            let exported = self.finrank(&["customer", "export", &treated.user_id, "--feature-store", url]);
            let of_this =
                |line: &Value| line["statement"] == "shadow" && line["decision_id"] == shown.decision_id;
            let mut lines = exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            said = lines.find(of_this).unwrap_or_default();
            said != Value::Null
        })
        .await;
        let compared = self.finrank(&["audit", "shadow", "--ranking", &server.url, "--json"]);
        let compared: Value = serde_json::from_str(&compared).unwrap();
        let erase = EraseCustomerRequest { user_id: treated.user_id.clone() };
        let mut store = FeatureStoreServiceClient::connect(self.feature_store.url.clone()).await.unwrap();
        let receipt = store.erase_customer(erase).await.unwrap().into_inner();

        let items = |items: &Value| -> Vec<(String, f64)> {
            let item = |item: &Value| {
                (item["product_id"].as_str().unwrap().to_owned(), item["score"].as_f64().unwrap())
            };
            items.as_array().unwrap().iter().map(item).collect()
        };
        let answered = treated.items.iter().map(|item| (item.product_id.clone(), item.score));
        assert_eq!(items(&said["items"]), answered.collect::<Vec<_>>());
        let shown_ids = shown.items.iter().map(|item| item.product_id.as_str());
        assert!(
            items(&said["shown"]).iter().map(|(product_id, _)| product_id.as_str()).eq(shown_ids),
            "{said}"
        );
        let of_control =
            compared.as_array().unwrap().iter().find(|of| of["served_version"] == *self.versions[0]);
        let of_control = of_control.unwrap();
        assert_eq!((&of_control["seen"], &of_control["taken"]), (&2.into(), &1.into()), "{compared}");
        let difference = of_control["mean_absolute_difference"].as_f64().unwrap();
        assert!(difference > 0.0 && difference < 1.0, "{compared}");
        assert!(of_control["shadow"]["auc"].is_number() && of_control["served"]["log_loss"].is_number());
        let removed = receipt.removed.iter().find(|removed| removed.table == "shadow_decisions").unwrap();
        assert!(removed.rows >= 1);
    }

    fn bundle(&self, version: usize) -> PathBuf {
        self.finrank.state.join("models").join(&self.versions[version])
    }
}

fn version(answer: &RecommendResponse) -> &str {
    &answer.versions.as_ref().unwrap().model_version
}

fn arm(answer: &RecommendResponse) -> Arm {
    answer.experiment.as_ref().unwrap().arm()
}

fn all_arms_answer(answers: &[RecommendResponse]) -> bool {
    answers.iter().all(|answer| answer.experiment.as_ref().is_some_and(|told| !told.control_in_place))
}

#[tokio::test]
async fn customers_of_both_arms_are_answered_each_by_their_model_until_a_promotion() {
    let place = Place::create().await;
    let [control, treatment] = &place.versions;
    let (server, mut ranking) = place.ranking().await;
    let before = place.answers(&mut ranking).await;
    let set = ["model", "traffic", "--treatment", treatment, "--share", "0.4", "--name", "spring"];
    let set = place.finrank(&[&set[..], &["--by", "alice", "--reason", "to try it"]].concat());
    let listed = place.finrank(&["model", "list"]);

    let mut answers = Vec::new();
    eventually("both arms answer", async || {
        answers = place.answers(&mut ranking).await;
        all_arms_answer(&answers)
    })
    .await;

    assert!(before.iter().all(|answer| answer.experiment.is_none() && version(answer) == control));
    assert!(set.contains(&format!("{treatment} answers 40.00 % of customers in experiment spring")), "{set}");
    let treatments = listed.lines().filter(|line| line.contains(treatment) && line.contains("treatment"));
    assert_eq!(treatments.count(), 1, "{listed}");
    let experiment = Experiment {
        name: ExperimentName::parse("spring").unwrap(),
        treatment: ModelVersion::parse(treatment).unwrap(),
        share: Share::of_one(0.4).unwrap(),
    };
    assert_eq!(answers.len(), place.user_ids.len());
    for (user_id, answer) in place.user_ids.iter().zip(&answers) {
        let expected = match experiment.arm_of(&UserId::parse(user_id).unwrap()) {
            model::Arm::Control => (Arm::Control, control.as_str()),
            model::Arm::Treatment => (Arm::Treatment, treatment.as_str()),
        };
        assert_eq!((&answer.user_id, (arm(answer), version(answer))), (user_id, expected));
        assert_eq!(answer.experiment.as_ref().unwrap().model_version, expected.1);
    }
    let treated = answers.iter().find(|answer| arm(answer) == Arm::Treatment).unwrap();
    let printed = place.finrank(&["recommend", &treated.user_id, "--ranking", &server.url]);
    assert!(printed.contains("· experiment spring: treatment\n"), "{printed}");
    let request = GetDecisionRequest { decision_id: treated.decision_id.clone(), include_inputs: false };
    let kept = ranking.get_decision(request).await.unwrap().into_inner().record.unwrap();
    assert_eq!((kept.experiment.as_ref(), &kept.model_version), (treated.experiment.as_ref(), treatment));
    let replay = ReplayDecisionRequest { decision_id: treated.decision_id.clone() };
    let replay = ranking.replay_decision(replay).await.unwrap().into_inner().replay.unwrap();
    assert_eq!(replay.outcome(), ReplayOutcome::Exact, "{replay:?}");

    // Control answers in the place of a treatment that is not there after a restart, and who is in which arm stays.
    drop((ranking, server));
    fs::rename(place.bundle(1), place.bundle(1).with_extension("away")).unwrap();
    let (server, mut ranking) = place.ranking().await;
    let in_place = place.answers(&mut ranking).await;
    fs::rename(place.bundle(1).with_extension("away"), place.bundle(1)).unwrap();
    let mut again = Vec::new();
    eventually("the treatment answers again", async || {
        again = place.answers(&mut ranking).await;
        all_arms_answer(&again)
    })
    .await;

    for ((first, in_place), again) in answers.iter().zip(&in_place).zip(&again) {
        assert_eq!((arm(in_place), version(in_place)), (arm(first), control.as_str()));
        assert_eq!(in_place.experiment.as_ref().unwrap().control_in_place, arm(first) == Arm::Treatment);
        assert_eq!((&again.experiment, version(again)), (&first.experiment, version(first)));
    }

    let shadow = ["model", "traffic", "--shadow", treatment, "--by", "alice", "--reason", "to look at it"];
    place.finrank(&shadow);
    let mut shown = Vec::new();
    eventually("the shadow ranks what is decided", async || {
        shown = place.answers(&mut ranking).await;
        place.finrank(&["audit", "shadow", "--ranking", &server.url]).contains(treatment)
    })
    .await;
    assert!(shown.iter().all(|answer| answer.experiment.is_none() && version(answer) == control));
    place.the_shadow_says_what_the_treatment_answered(&again, &mut ranking, &server).await;

    place.promote(1);
    eventually("everybody is answered by what was promoted", async || {
        let answers = place.answers(&mut ranking).await;
        answers.iter().all(|answer| answer.experiment.is_none() && version(answer) == treatment)
    })
    .await;
    let ended = place.finrank(&["model", "traffic"]);
    assert_eq!(ended.trim(), format!("{treatment} answers everybody; traffic 2 was ended by promotion 2"));
}
