//! Compiles `require`, and checks that each condition can hold.

use super::super::problems::Path;
use super::super::raw::{self, List};
use super::super::reader::Field;
use super::super::scalars::Scalar;
use super::Compiler;
use crate::policy::annotation::Field as SessionField;
use crate::policy::requirements::{Condition, Requirement};

impl Compiler<'_> {
    pub fn requirements(&self, list: &Field<List<raw::Requirement>>, at: &Path<'_>) -> Vec<Requirement> {
        let Some(list) = list.as_given() else { return Vec::new() };
        self.at_least_one(list, at);
        let list = list.iter().enumerate();
        list.filter_map(|(index, raw)| self.requirement(raw.as_given()?, &at.index(index))).collect()
    }

    fn requirement(&self, raw: &raw::Requirement, at: &Path<'_>) -> Option<Requirement> {
        let conditions = [
            raw.one_of.is_absent(),
            raw.equals.is_absent(),
            raw.present.is_absent(),
            raw.at_most.is_absent(),
            raw.at_least.is_absent(),
            raw.within.is_absent(),
            raw.is_client.is_absent(),
        ];
        let field = raw.field.required(&at.key("field"), "a field of the session", self.problems);
        if conditions.iter().filter(|absent| !**absent).count() != 1 {
            self.note(at, "expected exactly one of one_of, equals, present, at_most, at_least, within, is_client");
            return None;
        }
        if raw.is_client.copied() == Some(false) {
            self.note(&at.key("is_client"), "found false, expected true, or the key left out");
        }
        let field = field?.0.clone();
        let condition = self.condition(raw, at)?;
        self.check_field(&field, &condition, at);
        Some(Requirement { field, condition })
    }

    /// The condition. The caller has checked that exactly one is given.
    fn condition(&self, raw: &raw::Requirement, at: &Path<'_>) -> Option<Condition> {
        let one_of = raw.one_of.as_given().map(|list| self.at_least_one(list, &at.key("one_of")));
        let constants = one_of.or_else(|| raw.equals.as_given().map(|constant| vec![constant]));
        let one_of =
            || Some(Condition::OneOf(constants?.into_iter().map(|Scalar(constant)| constant.clone()).collect()));
        one_of()
            .or_else(|| raw.present.copied().map(Condition::Present))
            .or_else(|| raw.at_most.copied().map(|most| Condition::AtMost(most.0)))
            .or_else(|| raw.at_least.copied().map(|least| Condition::AtLeast(least.0)))
            .or_else(|| raw.within.copied().map(|within| Condition::Within(within.0)))
            .or_else(|| raw.is_client.copied().map(|_| Condition::IsClient))
    }

    /// Notes a field that does not fit its condition, or that every lookup resets.
    fn check_field(&self, field: &SessionField, condition: &Condition, at: &Path<'_>) {
        let at = at.key("field");
        match (field, condition) {
            (SessionField::Idle | SessionField::Reads | SessionField::Writes, _) => self.note(
                &at,
                format!("{field} changes with every lookup; expected one of id, ip, ttl, age, d, d.KEY, status"),
            ),
            (SessionField::Data, condition) if !matches!(condition, Condition::Present(_)) => {
                self.note(&at, "d is all data; expected d.KEY, or the condition present");
            }
            (field, Condition::IsClient) if *field != SessionField::Ip => {
                self.note(&at, format!("found {field}, expected ip, which is_client is about"));
            }
            _ => {}
        }
    }
}
