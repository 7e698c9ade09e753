//! The program `lattice`: everything is in the library, so that tests reach it.

fn main() -> std::process::ExitCode {
    lattice::cli::main()
}
