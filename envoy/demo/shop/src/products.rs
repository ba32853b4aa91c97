//! The products of the shop.

pub struct Product {
    pub id: u32,
    pub name: &'static str,
    pub price: &'static str,
    pub text: &'static str,
    /// A class of the style sheet.
    pub colour: &'static str,
    pub in_stock: u32,
}

pub const PRODUCTS: [Product; 4] = [
    Product {
        id: 1,
        name: "Sencha",
        price: "€ 9.50",
        text: "Green and grassy, from the first harvest of the year. Two minutes at 75 °C.",
        colour: "green",
        in_stock: 42,
    },
    Product {
        id: 2,
        name: "Assam",
        price: "€ 7.20",
        text: "Black and malty, strong enough for milk. Four minutes, boiling.",
        colour: "black",
        in_stock: 118,
    },
    Product {
        id: 3,
        name: "Bai Mu Dan",
        price: "€ 12.90",
        text: "White, with a note of melon. Takes five minutes, and a second cup.",
        colour: "white",
        in_stock: 7,
    },
    Product {
        id: 4,
        name: "Rooibos",
        price: "€ 5.80",
        text: "Red, sweet and without caffeine: for the hour when the others keep you awake.",
        colour: "red",
        in_stock: 63,
    },
];

pub fn product(id: &str) -> Option<&'static Product> {
    let id: u32 = id.parse().ok()?;
    PRODUCTS.iter().find(|product| product.id == id)
}
