"""Makes a Feast repository in the current directory and materialises it: URL USERS VIEWS FEATURES_PER_VIEW."""
import pathlib, subprocess, sys
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import feast

url, users, views, features = urlsplit(sys.argv[1]), *map(int, sys.argv[2:])
rng = np.random.default_rng(0)
table = pd.DataFrame({
    "user_id": [f"user-{number:07}" for number in range(users)],
    **{f"f_{v}_{f}": rng.random(users) for v in range(views) for f in range(features)},
    "event_timestamp": datetime.now(timezone.utc) - timedelta(days=1),
})
table.to_parquet("users.parquet")
declared = "\n".join(
    f'view_{v} = FeatureView(name="view_{v}", entities=[user], ttl=timedelta(days=3650), online=True, source=source,'
    f' schema=[Field(name=f"f_{v}_{{f}}", dtype=Float64) for f in range({features})])'
    for v in range(views)
)
pathlib.Path("definitions.py").write_text(f"""
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float64

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
source = FileSource(path="users.parquet", timestamp_field="event_timestamp")
{declared}
""")
pathlib.Path("feature_store.yaml").write_text(f"""
project: bench
provider: local
registry: registry.db
online_store:
    type: postgres
    host: {url.hostname}
    port: {url.port}
    user: {url.username}
    password: {url.password or "none"}
    database: {url.path.strip("/")}
    db_schema: public
    sslmode: disable
offline_store: {{type: file}}
entity_key_serialization_version: 3
""")
subprocess.run([sys.executable, "-m", "feast.cli.cli", "apply"], check=True, stdout=subprocess.DEVNULL)
store = feast.FeatureStore(repo_path=".")
store.materialize(datetime.now(timezone.utc) - timedelta(days=30), datetime.now(timezone.utc))
