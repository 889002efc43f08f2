//! What the guest finds at reset: boot parameters, page tables, GDT, ACPI tables.

pub mod layout;
