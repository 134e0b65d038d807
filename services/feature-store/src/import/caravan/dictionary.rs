//! The data dictionary of the CoIL 2000 challenge in plain English.

/// A product: the column that counts its policies, and what a customer would read.
pub(super) struct Entry {
    pub(super) column: &'static str,
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) description: &'static str,
}

const fn entry(
    column: &'static str,
    id: &'static str,
    name: &'static str,
    description: &'static str,
) -> Entry {
    Entry { column, id, name, description }
}

/// The 22 products, in the order of the file.
#[rustfmt::skip]
pub(super) const PRODUCTS: [Entry; 22] = [
    entry("AWAPART", "private-liability", "Private third party insurance", "Covers damage that members of a household do to others."),
    entry("AWABEDR", "business-liability", "Third party insurance for firms", "Covers damage that a firm and its staff do to others."),
    entry("AWALAND", "farm-liability", "Third party insurance for farms", "Covers damage that a farm does to others."),
    entry("APERSAUT", "car", "Car insurance", "Covers a private car and its driver."),
    entry("ABESAUT", "delivery-van", "Delivery van insurance", "Covers a van used for work."),
    entry("AMOTSCO", "motorcycle", "Motorcycle and scooter insurance", "Covers a motorcycle or scooter and its rider."),
    entry("AVRAAUT", "lorry", "Lorry insurance", "Covers a lorry and its load on the road."),
    entry("AAANHANG", "trailer", "Trailer insurance", "Covers a trailer behind a vehicle."),
    entry("ATRACTOR", "tractor", "Tractor insurance", "Covers a farm tractor."),
    entry("AWERKT", "farm-machines", "Agricultural machines insurance", "Covers machines that work the land."),
    entry("ABROM", "moped", "Moped insurance", "Covers a moped and its rider."),
    entry("ALEVEN", "life", "Life insurance", "Pays out to those who stay behind."),
    entry("APERSONG", "private-accident", "Private accident insurance", "Pays out after an accident of the insured person."),
    entry("AGEZONG", "family-accident", "Family accidents insurance", "Pays out after an accident of any member of the family."),
    entry("AWAOREG", "disability", "Disability insurance", "Replaces income that is lost by disability."),
    entry("ABRAND", "fire", "Fire insurance", "Covers a home and what is in it against fire."),
    entry("AZEILPL", "surfboard", "Surfboard insurance", "Covers a surfboard and its sail."),
    entry("APLEZIER", "boat", "Boat insurance", "Covers a pleasure boat."),
    entry("AFIETS", "bicycle", "Bicycle insurance", "Covers a bicycle against theft and damage."),
    entry("AINBOED", "property", "Property insurance", "Covers belongings against theft and damage."),
    entry("ABYSTAND", "social-security", "Social security insurance", "Adds to what social security pays."),
    entry("Purchase", "caravan", "Caravan insurance", "Covers a caravan or mobile home."),
];

/// The 43 attributes: the file's code and the attribute's name. Shares are of the household's postal area, in
/// bands from 0 to 9.
pub(super) const ATTRIBUTES: [(&str, &str); 43] = [
    ("MOSTYPE", "customer_subtype"),
    ("MAANTHUI", "number_of_houses"),
    ("MGEMOMV", "household_size"),
    ("MGEMLEEF", "age_band"),
    ("MOSHOOFD", "customer_main_type"),
    ("MGODRK", "share_roman_catholic"),
    ("MGODPR", "share_protestant"),
    ("MGODOV", "share_other_religion"),
    ("MGODGE", "share_no_religion"),
    ("MRELGE", "share_married"),
    ("MRELSA", "share_living_together"),
    ("MRELOV", "share_other_relation"),
    ("MFALLEEN", "share_singles"),
    ("MFGEKIND", "share_households_without_children"),
    ("MFWEKIND", "share_households_with_children"),
    ("MOPLHOOG", "share_high_education"),
    ("MOPLMIDD", "share_medium_education"),
    ("MOPLLAAG", "share_low_education"),
    ("MBERHOOG", "share_high_status"),
    ("MBERZELF", "share_entrepreneurs"),
    ("MBERBOER", "share_farmers"),
    ("MBERMIDD", "share_middle_management"),
    ("MBERARBG", "share_skilled_labourers"),
    ("MBERARBO", "share_unskilled_labourers"),
    ("MSKA", "share_social_class_a"),
    ("MSKB1", "share_social_class_b1"),
    ("MSKB2", "share_social_class_b2"),
    ("MSKC", "share_social_class_c"),
    ("MSKD", "share_social_class_d"),
    ("MHHUUR", "share_rented_houses"),
    ("MHKOOP", "share_home_owners"),
    ("MAUT1", "share_one_car"),
    ("MAUT2", "share_two_cars"),
    ("MAUT0", "share_no_car"),
    ("MZFONDS", "share_national_health"),
    ("MZPART", "share_private_health"),
    ("MINKM30", "share_income_below_30k"),
    ("MINK3045", "share_income_30k_to_45k"),
    ("MINK4575", "share_income_45k_to_75k"),
    ("MINK7512", "share_income_75k_to_122k"),
    ("MINK123M", "share_income_above_123k"),
    ("MINKGEM", "average_income"),
    ("MKOOPKLA", "purchasing_power_class"),
];
