"""A Feast client that knows nothing of finrank: client.py ADDRESS USER_ID

It is generated from Feast's protos by generate.py; PYTHONPATH names what that wrote. It reads and writes, and prints
what it got as JSON, which tests/end_to_end/feast.rs checks. USER_ID is of a customer that the server knows.
"""

import json
import sys
import time

import grpc
from feast.serving import GrpcServer_pb2 as writing
from feast.serving import GrpcServer_pb2_grpc as writing_rpcs
from feast.serving import ServingService_pb2 as serving
from feast.serving import ServingService_pb2_grpc as serving_rpcs
from feast.types import Value_pb2 as types

address, user_id = sys.argv[1:]
channel = grpc.insecure_channel(address)
reader = serving_rpcs.ServingServiceStub(channel)
writer = writing_rpcs.GrpcFeatureServerStub(channel)


def text(value):
    return types.Value(string_val=value)


def column(*values):
    return types.RepeatedValue(val=values)


def ask(features, *user_ids, **further):
    return serving.GetOnlineFeaturesRequest(
        features=serving.FeatureList(val=features),
        entities={"user_id": column(*map(text, user_ids))},
        **further,
    )


def table(response):
    """The columns by their names: each entry's value, status and time."""
    names = response.metadata.feature_names.val
    assert len(names) == len(response.results), response
    columns = {}
    for name, result in zip(names, response.results):
        assert len(result.values) == len(result.statuses) == len(result.event_timestamps), response
        columns[name] = [
            [getattr(value, value.WhichOneof("val") or "", None), serving.FieldStatus.Name(status), moment.seconds]
            for value, status, moment in zip(result.values, result.statuses, result.event_timestamps)
        ]
    return columns


def refusal(call, *arguments, **further):
    try:
        call(*arguments, **further)
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
    raise AssertionError("it was not refused")


for_marketing = {"request_context": {"purpose": column(text("marketing"))}}
features = ["customer_profile:annual_income", "customer_activity:viewed_30d"]
now = int(time.time())

answers = {}
answers["info"] = reader.GetFeastServingInfo(serving.GetFeastServingInfoRequest()).version

request = ask(features, user_id, "nobody", user_id, **for_marketing)
answers["read"] = table(reader.GetOnlineFeatures(request))
answers["read_by_the_other_service"] = table(writer.GetOnlineFeatures(request))

by_metadata = ask(features[:1], user_id, full_feature_names=True)
answers["purpose_in_metadata"] = table(
    reader.GetOnlineFeatures(by_metadata, metadata=[("finrank-purpose", "marketing")])
)

push = writing.PushRequest(
    stream_feature_view="customer_profile",
    features={
        "user_id": "feast-1",
        "event_timestamp": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now - 60)),
        "annual_income": "41000.5",
        "owns_home": "True",
    },
    to="online",
)
answers["pushed"] = [writer.Push(push).status, writer.Push(push).status]
write = writing.WriteToOnlineStoreRequest(
    feature_view_name="customer_profile",
    typed_features={
        "user_id": text("feast-1"),
        "event_timestamp": types.Value(unix_timestamp_val=now - 30),
        "occupation": text("baker"),
    },
)
answers["written"] = writer.WriteToOnlineStore(write).status
profile = [f"customer_profile:{name}" for name in ("annual_income", "owns_home", "occupation", "savings")]
answers["read_after"] = table(reader.GetOnlineFeatures(ask(profile, "feast-1", **for_marketing)))
answers["written_at"] = now - 30

answers["denied"] = refusal(
    reader.GetOnlineFeatures, ask(["customer_profile:age"], user_id, **for_marketing)
)
answers["no_purpose"] = refusal(reader.GetOnlineFeatures, ask(features, user_id))
of_events = writing.PushRequest(stream_feature_view="customer_activity", features=push.features, to="online")
answers["push_to_events"] = refusal(writer.Push, of_events)
push.features["shoe_size"] = "43"
answers["unknown_column"] = refusal(writer.Push, push)

print(json.dumps(answers))
