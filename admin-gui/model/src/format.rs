//! Numbers as people read them: short, with a unit, and of a width that does not jump from one second to the next.

/// `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count in at most five characters: `999`, `9,999`, `12.3k`, `4.56M`.
pub fn short(number: f64) -> String {
    let magnitude = number.abs();
    if !number.is_finite() {
        return "–".to_owned();
    }
    if magnitude < 9_999.5 {
        let rounded = magnitude.round() as u64;
        let sign = if number < 0.0 && rounded > 0 { "-" } else { "" };
        return format!("{sign}{}", count(rounded));
    }
    for (unit, letter) in [(1e3, 'k'), (1e6, 'M'), (1e9, 'G'), (1e12, 'T')] {
        let scaled = number / unit;
        if scaled.abs() < 999.5 {
            return format!("{}{letter}", three_digits(scaled));
        }
    }
    format!("{number:.1e}")
}

/// A rate per second, without its unit: `0`, `0.4`, `12`, `1,234`, `45.6k`.
pub fn rate(per_second: f64) -> String {
    if !per_second.is_finite() || per_second.abs() < 0.05 {
        return "0".to_owned();
    }
    if per_second.abs() < 10.0 {
        return format!("{per_second:.1}");
    }
    short(per_second)
}

/// `512 B`, `1.50 KiB`, `23.4 MiB`.
pub fn bytes(bytes: f64) -> String {
    if bytes.abs() < 1_000.0 {
        return format!("{bytes:.0} B");
    }
    let mut scaled = bytes;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        scaled /= 1_024.0;
        unit = next;
        if scaled.abs() < 999.5 {
            break;
        }
    }
    format!("{} {unit}", three_digits(scaled))
}

/// `3 s`, `4 min`, `2 h 10 min`, `3 d 4 h`.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 if ms == 0 => "0 s".to_owned(),
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds} s"),
        60..3_600 => two(seconds, 60, "min", 1, "s", seconds < 600),
        3_600..86_400 => two(seconds, 3_600, "h", 60, "min", true),
        _ => two(seconds, 86_400, "d", 3_600, "h", true),
    }
}

fn two(seconds: u64, large: u64, large_unit: &str, small: u64, small_unit: &str, both: bool) -> String {
    let rest = seconds % large / small;
    if both && rest > 0 {
        format!("{} {large_unit} {rest} {small_unit}", seconds / large)
    } else {
        format!("{} {large_unit}", seconds / large)
    }
}

/// `21:04:09`, in UTC.
pub fn clock(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// `2026-11-22 21:04:09`, in UTC.
pub fn date(unix_ms: u64) -> String {
    // Days to year, month and day, after Howard Hinnant's `civil_from_days`.
    let days = unix_ms / 86_400_000 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {}", clock(unix_ms))
}

/// `1.23`, `12.3`, `123`.
fn three_digits(number: f64) -> String {
    match number.abs() {
        magnitude if magnitude < 9.995 => format!("{number:.2}"),
        magnitude if magnitude < 99.95 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_groups_of_three() {
        let check = |number, text| assert_eq!(count(number), text);
        check(0, "0");
        check(999, "999");
        check(1_000, "1,000");
        check(1_234_567, "1,234,567");
    }

    #[test]
    fn short_counts_have_three_digits_and_a_letter() {
        let check = |number, text| assert_eq!(short(number), text, "{number}");
        check(0.0, "0");
        check(-0.3, "0");
        check(-12.0, "-12");
        check(9_999.0, "9,999");
        check(10_000.0, "10.0k");
        check(12_345.0, "12.3k");
        check(999_499.0, "999k");
        check(999_600.0, "1.00M");
        check(4_560_000.0, "4.56M");
        check(f64::NAN, "–");
    }

    #[test]
    fn slow_rates_keep_a_decimal() {
        let check = |number, text| assert_eq!(rate(number), text, "{number}");
        check(0.01, "0");
        check(0.4, "0.4");
        check(9.94, "9.9");
        check(12.3, "12");
        check(45_600.0, "45.6k");
    }

    #[test]
    fn bytes_are_counted_in_powers_of_1024() {
        let check = |number, text| assert_eq!(bytes(number), text, "{number}");
        check(0.0, "0 B");
        check(999.0, "999 B");
        check(1_024.0, "1.00 KiB");
        check(1_536.0, "1.50 KiB");
        check(1_048_500.0, "1.00 MiB");
        check(25_000_000.0, "23.8 MiB");
        check(9e18, "7994 PiB");
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let check = |ms, text| assert_eq!(duration(ms), text, "{ms}");
        check(0, "0 s");
        check(450, "450 ms");
        check(3_200, "3 s");
        check(61_000, "1 min 1 s");
        check(1_850_000, "30 min");
        check(7_800_000, "2 h 10 min");
        check(273_600_000, "3 d 4 h");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let check = |seconds: u64, text| assert_eq!(date(seconds * 1_000), text);
        check(0, "1970-01-01 00:00:00");
        check(951_827_696, "2000-02-29 12:34:56");
        check(1_795_381_449, "2026-11-22 21:04:09");
    }
}
