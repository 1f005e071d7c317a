//! Chosen columns: some fields of what is listed, without those around them being made into JSON.
//!
//! An item tells its fields one by one, as serde has it. Those that no column names are passed over before anything is
//! made of them, so that two columns of 10,000 queues cost two columns and not sixty.

use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::{Error, Map, Value};

/// Fields by their paths, such as `name` and `message_stats.publish`.
#[derive(Debug, Default)]
pub struct Columns {
    /// Everything below is wanted.
    whole: bool,
    fields: Vec<(String, Columns)>,
}

impl Columns {
    /// The fields at these paths.
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a str>) -> Columns {
        let mut columns = Columns::default();
        for path in paths {
            let mut place = &mut columns;
            for name in path.splitn(DEPTH_MAX, '.') {
                let at = place.fields.iter().position(|(known, _)| known == name);
                let at = at.unwrap_or_else(|| {
                    place.fields.push((name.to_owned(), Columns::default()));
                    place.fields.len() - 1
                });
                place = &mut place.fields[at].1;
            }
            place.whole = true;
        }
        columns
    }

    /// Those fields of an item, in the objects they were in. What the item does not have is left out.
    pub fn pick(&self, item: &impl Serialize) -> Result<Value, Error> {
        Ok(self.of(item)?.unwrap_or_else(|| Value::Object(Map::new())))
    }

    /// `None` where there is nothing of what is wanted.
    fn of<T: Serialize + ?Sized>(&self, value: &T) -> Result<Option<Value>, Error> {
        if self.whole { serde_json::to_value(value).map(Some) } else { value.serialize(Picker(self)) }
    }

    fn field(&self, name: &str) -> Option<&(String, Columns)> {
        self.fields.iter().find(|(known, _)| known == name)
    }
}

/// Takes fields out of one object.
struct Picker<'a>(&'a Columns);

/// An object of which fields are being taken.
struct Picked<'a> {
    columns: &'a Columns,
    kept: Map<String, Value>,
    /// The key of a map whose value comes next, if it is wanted.
    next: Option<&'a (String, Columns)>,
}

impl<'a> Picker<'a> {
    fn object(self) -> Picked<'a> {
        Picked { columns: self.0, kept: Map::new(), next: None }
    }
}

impl<'a> Picked<'a> {
    fn keep<T: Serialize + ?Sized>(
        &mut self,
        field: Option<&'a (String, Columns)>,
        value: &T,
    ) -> Result<(), Error> {
        if let Some((name, columns)) = field
            && let Some(found) = columns.of(value)?
        {
            self.kept.insert(name.clone(), found);
        }
        Ok(())
    }

    fn finish(self) -> Option<Value> {
        (!self.kept.is_empty()).then_some(Value::Object(self.kept))
    }
}

impl SerializeStruct for Picked<'_> {
    type Ok = Option<Value>;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.keep(self.columns.field(name), value)
    }

    fn end(self) -> Result<Option<Value>, Error> {
        Ok(self.finish())
    }
}

impl SerializeMap for Picked<'_> {
    type Ok = Option<Value>;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.next = match serde_json::to_value(key)? {
            Value::String(name) => self.columns.field(&name),
            _ => None,
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let field = self.next.take();
        self.keep(field, value)
    }

    fn end(self) -> Result<Option<Value>, Error> {
        Ok(self.finish())
    }
}

/// What is no object has no fields.
macro_rules! has_no_fields {
    ($($method:ident $type:ty),*) => {
        $(fn $method(self, _: $type) -> Result<Option<Value>, Error> {
            Ok(None)
        })*
    };
}

impl<'a> Serializer for Picker<'a> {
    type Ok = Option<Value>;
    type Error = Error;
    type SerializeSeq = PassedOver;
    type SerializeTuple = PassedOver;
    type SerializeTupleStruct = PassedOver;
    type SerializeTupleVariant = PassedOver;
    type SerializeMap = Picked<'a>;
    type SerializeStruct = Picked<'a>;
    type SerializeStructVariant = PassedOver;

    has_no_fields!(
        serialize_bool bool, serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64, serialize_f32 f32,
        serialize_f64 f64, serialize_char char, serialize_str &str, serialize_bytes &[u8],
        serialize_unit_struct &'static str
    );

    fn serialize_none(self) -> Result<Option<Value>, Error> {
        Ok(None)
    }

    fn serialize_unit(self) -> Result<Option<Value>, Error> {
        Ok(None)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
    ) -> Result<Option<Value>, Error> {
        Ok(None)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Option<Value>, Error> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Option<Value>, Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Option<Value>, Error> {
        Ok(None)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<PassedOver, Error> {
        Ok(PassedOver)
    }

    fn serialize_tuple(self, _: usize) -> Result<PassedOver, Error> {
        Ok(PassedOver)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<PassedOver, Error> {
        Ok(PassedOver)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<PassedOver, Error> {
        Ok(PassedOver)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Picked<'a>, Error> {
        Ok(self.object())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Picked<'a>, Error> {
        Ok(self.object())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<PassedOver, Error> {
        Ok(PassedOver)
    }
}

/// A list, whose elements have no names.
struct PassedOver;

macro_rules! pass_over {
    ($($trait:ident $method:ident),*) => {
        $(impl $trait for PassedOver {
            type Ok = Option<Value>;
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), Error> {
                Ok(())
            }

            fn end(self) -> Result<Option<Value>, Error> {
                Ok(None)
            }
        })*
    };
}

pass_over!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

impl SerializeStructVariant for PassedOver {
    type Ok = Option<Value>;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, _: &T) -> Result<(), Error> {
        Ok(())
    }

    fn end(self) -> Result<Option<Value>, Error> {
        Ok(None)
    }
}

/// Names in a path; what is behind more dots than these is one name, which nothing has.
const DEPTH_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use leveret_protocol::admin::{MessageStats, Queue, QueueTotals};
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(paths: &str, expected: Value) {
        let queue = Queue {
            name: "q".to_owned(),
            arguments: [("x".to_owned(), json!({"deep": [1]}))].into_iter().collect(),
            totals: QueueTotals { messages: 7, ..QueueTotals::default() },
            policy: Some("p".to_owned()),
            message_stats: MessageStats { publish: 9, ..MessageStats::default() },
            ..Queue::default()
        };
        let columns = Columns::new(paths.split(','));
        assert_eq!(columns.pick(&queue).expect("JSON"), expected, "{paths}");
        assert_eq!(columns.pick(&json!(queue)).expect("JSON"), expected, "{paths} of the same as JSON");
    }

    #[test]
    fn fields_are_picked_in_the_objects_they_are_in() {
        check("name,messages,policy", json!({"name": "q", "messages": 7, "policy": "p"}));
        check("message_stats.publish", json!({"message_stats": {"publish": 9}}));
        check(
            "message_stats.publish,message_stats.publish_details",
            json!({"message_stats": {"publish": 9, "publish_details": {"rate": 0.0}}}),
        );
        check("arguments.x.deep,arguments.none", json!({"arguments": {"x": {"deep": [1]}}}));
        check("arguments,arguments.x", json!({"arguments": {"x": {"deep": [1]}}}));
        check("none,name.x,arguments.x.deep.y,operator_policy.x", json!({}));
        check(&".".repeat(100_000), json!({}));
    }
}
