//! Two models side by side: real servers, two trained models, and the command that sets what is tried.

use std::{fs, path::PathBuf};

use finrank_contracts::ranking::v1::{
    Arm, BatchRecommendRequest, GetDecisionRequest, RecommendRequest, RecommendResponse,
    ReplayDecisionRequest, ReplayOutcome, batch_recommend_response::Outcome,
    ranking_service_client::RankingServiceClient,
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
            let Some(Outcome::Recommendation(answer)) = answer.outcome else { panic!("{answer:?}") };
            answers.push(answer);
        }
        answers
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
    let (_server, mut ranking) = place.ranking().await;
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

    place.promote(1);
    eventually("everybody is answered by what was promoted", async || {
        let answers = place.answers(&mut ranking).await;
        answers.iter().all(|answer| answer.experiment.is_none() && version(answer) == treatment)
    })
    .await;
    let ended = place.finrank(&["model", "traffic"]);
    assert_eq!(ended.trim(), format!("{treatment} answers everybody; traffic 1 was ended by promotion 2"));
}
