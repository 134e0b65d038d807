//! Has the migrations compiled in anew when one is added; `sqlx::migrate!` itself sees only changed ones.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
