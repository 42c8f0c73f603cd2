//! Prints a line of JSON: a program that needs crates, one of them a macro's.

#[derive(serde::Serialize)]
struct Report {
    of: String,
    letters: usize,
}

fn main() -> Result<(), serde_json::Error> {
    for of in std::env::args().skip(1) {
        let letters = of.chars().count();
        println!("{}", serde_json::to_string(&Report { of, letters })?);
    }
    Ok(())
}
